/* SPDX-License-Identifier: MIT */
/* Unit token_claims reads the claims of a token from its own text, because a JSON tree would round
 * the numbers in "info". It keeps no state. */
#include "hub/token_claims.h"

#include <stdlib.h>

#include "base/json_span.h"

/* One call of token_claims_read(). */
struct reading {
    const struct token_demands *demands;
    int64_t now;
    const char *why;
    struct token_claims claims;
};

static enum status refuse(struct reading *r, const char *why)
{
    r->why = why;
    return STATUS_UNAUTHORIZED;
}

/* The outcome of reading a claim. */
static enum status claim_status(struct reading *r, enum status status, const char *why)
{
    return status == STATUS_OK || status == STATUS_NO_MEMORY ? status : refuse(r, why);
}

static bool is_absent(struct str value)
{
    return value.len == 0 || json_kind(value) == JSON_KIND_NULL;
}

enum status token_read_text(struct str value, char **ret_text)
{
    struct buf text;
    char *taken = NULL;
    buf_init(&text, TOKEN_MAX_BYTES);
    enum status status = is_absent(value) ? STATUS_OK : json_decode_string(value, &text);
    if (status == STATUS_OK && text.len > 0) {
        bool has_nul = memchr(text.ptr, 0, text.len);
        taken = has_nul ? NULL : buf_take(&text);
        status = has_nul ? STATUS_INVALID : taken ? STATUS_OK : STATUS_NO_MEMORY;
    }
    buf_release(&text);
    if (status == STATUS_OK) {
        *ret_text = taken;
    }
    return status;
}

enum {
    C_EXP,
    C_NBF,
    C_IAT,
    C_EXPIRE_AT,
    C_ISS,
    C_AUD,
    C_INFO,
    C_B64INFO,
    C_META,
    C_CHANNEL,
    C_CLIENT,
    N_CLAIMS
};

/* Times may come with a fraction (RFC 7519 NumericDate); it is cut off. */
static bool numeric_date(struct str value, int64_t *ret_seconds)
{
    ptrdiff_t dot = str_find(value, '.');
    return is_absent(value) ||
           json_to_i64(dot < 0 ? value : str_head(value, (size_t)dot), ret_seconds);
}

static enum status read_times(struct reading *r, const struct json_field *f)
{
    int64_t exp = 0;
    int64_t nbf = INT64_MIN;
    int64_t iat = 0;
    if (!numeric_date(f[C_EXP].value, &exp) || !numeric_date(f[C_NBF].value, &nbf) ||
        !numeric_date(f[C_IAT].value, &iat)) {
        return refuse(r, "exp, nbf or iat is no time");
    }
    if ((!is_absent(f[C_EXP].value) && exp <= r->now) || nbf > r->now) {
        r->why = nbf > r->now ? "its nbf is in the future: does its maker's clock differ?"
                              : "its exp is over";
        return STATUS_EXPIRED;
    }
    int64_t expires_at = exp;
    if (!is_absent(f[C_EXPIRE_AT].value) &&
        (!json_to_i64(f[C_EXPIRE_AT].value, &expires_at) || expires_at < 0)) {
        return refuse(r, "expire_at is no time");
    }
    r->claims.expires_at = expires_at;
    return STATUS_OK;
}

/* What a claim must be equal to, or where a pattern must be found; both may be none. */
struct demand {
    struct str text;
    const struct pattern *pattern;
};

static bool has_demand(const struct demand *demand)
{
    return demand->text.len > 0 || demand->pattern;
}

static bool meets(const struct demand *demand, struct str text)
{
    return demand->text.len > 0 ? str_eq(demand->text, text)
                                : demand->pattern && pattern_matches(demand->pattern, text);
}

/* False: value is no string. */
static bool look_at(const struct demand *demand, struct str value, bool *is_met)
{
    struct buf text;
    buf_init(&text, TOKEN_MAX_BYTES);
    bool is_string = json_decode_string(value, &text) == STATUS_OK;
    *is_met = *is_met || (is_string && meets(demand, buf_str(&text)));
    buf_release(&text);
    return is_string;
}

static enum status check_issuer(struct reading *r, struct str value)
{
    const struct demand demand = {str_of(r->demands->issuer), r->demands->issuer_pattern};
    bool is_met = !has_demand(&demand);
    if (!is_absent(value) && !look_at(&demand, value, &is_met)) {
        return refuse(r, "iss is no string");
    }
    return is_met ? STATUS_OK : refuse(r, "it is of another issuer");
}

static enum status check_audience(struct reading *r, struct str value)
{
    const struct demand demand = {str_of(r->demands->audience), r->demands->audience_pattern};
    bool is_met = !has_demand(&demand);
    bool fits = true;
    if (!is_absent(value) && json_kind(value) == JSON_KIND_ARRAY) {
        struct json_walk w = json_walk(value);
        struct str item;
        while (fits && json_next_element(&w, &item)) {
            fits = look_at(&demand, item, &is_met);
        }
    } else if (!is_absent(value)) {
        fits = look_at(&demand, value, &is_met);
    }
    if (!fits) {
        return refuse(r, "aud is no string and no list of strings");
    }
    return is_met ? STATUS_OK : refuse(r, "it is for another audience");
}

static enum status read_user(struct reading *r, struct str payload)
{
    const char *name = r->demands->user_id_claim;
    struct json_field f = {name[0] ? str_of(name) : STR("sub"), STR_EMPTY};
    enum status status = json_read_object(payload, &f, 1, NULL);
    if (status == STATUS_OK) {
        status = token_read_text(f.value, &r->claims.user);
    }
    return claim_status(r, status, "the user is no string");
}

static enum status read_meta(struct reading *r, struct str value)
{
    if (is_absent(value)) {
        return STATUS_OK;
    }
    if (json_kind(value) != JSON_KIND_OBJECT) {
        return refuse(r, "meta is no object");
    }
    return subscription_text_read(value, STR_EMPTY, &r->claims.meta);
}

static enum status read_connection(struct reading *r, struct str payload,
                                   const struct json_field *f)
{
    if (!is_absent(f[C_CHANNEL].value)) {
        return refuse(r, "it is a subscription token");
    }
    enum status status =
        subscription_text_read(f[C_INFO].value, f[C_B64INFO].value, &r->claims.info);
    if (status != STATUS_OK) {
        return claim_status(r, status, "b64info is no base64 of JSON");
    }
    status = read_meta(r, f[C_META].value);
    if (status != STATUS_OK) {
        return status;
    }
    const struct subscription_fault *fault = NULL;
    status = subscription_grants_read(payload, &r->claims.subs, &fault);
    return claim_status(r, status, fault ? fault->in_words : "");
}

static enum status read_subscription(struct reading *r, struct str payload,
                                     const struct json_field *f)
{
    const struct subscription_fault *fault = NULL;
    enum status status = subscription_grant_read(payload, &r->claims.grant, &fault);
    if (status != STATUS_OK) {
        return claim_status(r, status, fault ? fault->in_words : "");
    }
    status = token_read_text(f[C_CHANNEL].value, &r->claims.grant.channel);
    if (status == STATUS_OK && !r->claims.grant.channel) {
        status = STATUS_INVALID;
    }
    if (status != STATUS_OK) {
        return claim_status(r, status, "it names no channel");
    }
    r->claims.grant.expires_at = r->claims.expires_at;
    status = token_read_text(f[C_CLIENT].value, &r->claims.client);
    return claim_status(r, status, "client is no string");
}

/* --- all --- */

static enum status read_claims(struct reading *r, enum token_kind kind, struct str payload)
{
    struct json_field f[N_CLAIMS] = {
        [C_EXP] = {STR("exp"), STR_EMPTY},       [C_NBF] = {STR("nbf"), STR_EMPTY},
        [C_IAT] = {STR("iat"), STR_EMPTY},       [C_EXPIRE_AT] = {STR("expire_at"), STR_EMPTY},
        [C_ISS] = {STR("iss"), STR_EMPTY},       [C_AUD] = {STR("aud"), STR_EMPTY},
        [C_INFO] = {STR("info"), STR_EMPTY},     [C_B64INFO] = {STR("b64info"), STR_EMPTY},
        [C_META] = {STR("meta"), STR_EMPTY},     [C_CHANNEL] = {STR("channel"), STR_EMPTY},
        [C_CLIENT] = {STR("client"), STR_EMPTY},
    };
    if (json_read_object(payload, f, N_CLAIMS, NULL) != STATUS_OK) {
        return refuse(r, "it has a claim twice");
    }
    enum status status = check_issuer(r, f[C_ISS].value);
    if (status == STATUS_OK) {
        status = check_audience(r, f[C_AUD].value);
    }
    if (status == STATUS_OK) {
        status = read_times(r, f);
    }
    if (status == STATUS_OK) {
        status = read_user(r, payload);
    }
    if (status == STATUS_OK) {
        status = kind == TOKEN_CONNECTION ? read_connection(r, payload, f)
                                          : read_subscription(r, payload, f);
    }
    return status;
}

enum status token_claims_read(const struct token_demands *demands, enum token_kind kind,
                              struct str payload, int64_t now, struct token_claims *ret_claims,
                              const char **ret_why)
{
    struct reading r = {.demands = demands, .now = now, .why = "memory is short"};
    enum status status = read_claims(&r, kind, json_trim(payload));
    *ret_claims = r.claims;
    *ret_why = r.why;
    return status;
}

void token_claims_release(struct token_claims *claims)
{
    free(claims->user);
    free(claims->info);
    free(claims->meta);
    free(claims->client);
    subscription_grants_release(&claims->subs);
    subscription_grant_release(&claims->grant);
    *claims = (struct token_claims){0};
}
