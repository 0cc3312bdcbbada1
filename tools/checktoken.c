/* SPDX-License-Identifier: MIT */
/* The commands that say whether the hub would take a token, and if not, why. No state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json_span.h"
#include "tools/command.h"
#include "tools/token_tools.h"
#include "tools/tools.h"

struct question {
    const struct settings *settings;
    enum token_kind kind;
    struct str token;
    int64_t now;
    struct buf header; /* what the token says of itself: JSON objects, empty where it is none */
    struct buf claims;
};

/* --- what the token says --- */

static void decode(struct str part, struct buf *out)
{
    if (!base64url_decode(part, out) || json_check(buf_str(out), NULL) != STATUS_OK ||
        json_kind(json_trim(buf_str(out))) != JSON_KIND_OBJECT) {
        buf_clear(out);
    }
}

static void take_apart(struct question *q)
{
    ptrdiff_t first = str_find(q->token, '.');
    struct str rest = first < 0 ? STR_EMPTY : str_tail(q->token, (size_t)first + 1);
    ptrdiff_t second = str_find(rest, '.');
    buf_init(&q->header, TOKEN_TOOLS_MAX_BYTES);
    buf_init(&q->claims, TOKEN_TOOLS_MAX_BYTES);
    if (second >= 0) {
        decode(str_head(q->token, (size_t)first), &q->header);
        decode(str_head(rest, (size_t)second), &q->claims);
    }
}

/* False: the claim is absent, or is no time. A fraction is cut off. */
static bool time_claim(const struct question *q, const char *name, int64_t *ret_seconds)
{
    struct str value;
    if (q->claims.len == 0 || !json_member(json_trim(buf_str(&q->claims)), str_of(name), &value)) {
        return false;
    }
    ptrdiff_t dot = str_find(value, '.');
    return json_to_i64(dot < 0 ? value : str_head(value, (size_t)dot), ret_seconds);
}

static void append_part(struct buf *out, const char *name, const struct buf *part)
{
    if (part->len > 0) {
        buf_printf(out, "\n%s: ", name);
        json_append_one_line(out, json_trim(buf_str(part)));
    }
}

static void append_claim(struct buf *out, const struct question *q, const char *name)
{
    struct str value;
    bool is_there =
        q->claims.len > 0 && json_member(json_trim(buf_str(&q->claims)), str_of(name), &value);
    buf_printf(out, "%s is ", name);
    if (is_there) {
        json_append_one_line(out, value);
    } else {
        buf_literal(out, "absent");
    }
}

/* --- what the configuration asks for --- */

static void append_key(struct buf *out, bool is_there, const char *algorithms, const char *key)
{
    if (is_there) {
        buf_printf(out, "%s%s (%s)", out->len > 0 ? ", " : "", algorithms, key);
    }
}

static void append_keys(struct buf *out, const struct token_options *o)
{
    struct buf keys;
    buf_init(&keys, TOKEN_TOOLS_MAX_BYTES);
    if (o->jwks_public_endpoint[0]) {
        append_key(&keys, true, "RS..., ES..., EdDSA", "jwks_public_endpoint");
    } else {
        append_key(&keys, o->hmac_secret_key[0], "HS256, HS384, HS512", "hmac_secret_key");
        append_key(&keys, o->hmac_previous_secret_key[0], "the same", "hmac_previous_secret_key");
        append_key(&keys, o->rsa_public_key[0], "RS256, RS384, RS512", "rsa_public_key");
        append_key(&keys, o->ecdsa_public_key[0], "ES256, ES384 or ES512", "ecdsa_public_key");
    }
    buf_append(out, keys.len > 0 ? buf_str(&keys) : STR("none"));
    buf_release(&keys);
}

static void append_demand(struct buf *out, const struct question *q, const char *claim,
                          const char *text, const char *regex)
{
    if (!text[0] && !regex[0]) {
        return;
    }
    buf_literal(out, "\n");
    append_claim(out, q, claim);
    buf_append(out, str_of(text[0] ? ", expected " : ", expected a text in which is found "));
    json_append_string(out, str_of(text[0] ? text : regex));
}

/* --- the answer --- */

static void append_reason(struct buf *out, const struct question *q, enum status status,
                          const char *why)
{
    int64_t seconds = q->now;
    if (status != STATUS_EXPIRED) {
        buf_append(out, str_of(why));
        return;
    }
    if (time_claim(q, "nbf", &seconds) && seconds > q->now) {
        buf_literal(out, "not good before ");
    } else if (time_claim(q, "exp", &seconds)) {
        buf_literal(out, "expired since ");
    }
    token_tools_append_time(out, seconds, q->now);
}

static int say_no(const struct question *q, enum status status, const char *why)
{
    const char *section;
    const struct token_options *o = token_tools_options(q->settings, q->kind, &section);
    struct buf words;
    buf_init(&words, 4 * TOKEN_TOOLS_MAX_BYTES);
    buf_literal(&words, "not valid: ");
    append_reason(&words, q, status, why);
    append_part(&words, "header", &q->header);
    append_part(&words, "claims, which nobody vouches for", &q->claims);
    buf_printf(&words, "\nkeys of %s: ", section);
    append_keys(&words, o);
    append_demand(&words, q, "aud", o->audience, o->audience_regex);
    append_demand(&words, q, "iss", o->issuer, o->issuer_regex);
    (void)token_tools_print(stderr, &words);
    return 1;
}

static int say_yes(const struct question *q, const struct token_claims *claims)
{
    const struct client_options *client = &q->settings->client;
    int64_t seconds;
    if (q->kind == TOKEN_CONNECTION && !claims->user &&
        client->disallow_anonymous_connection_tokens) {
        return say_no(q, STATUS_UNAUTHORIZED,
                      "it has no user, and client.disallow_anonymous_connection_tokens is true");
    }
    struct buf words;
    buf_init(&words, 4 * TOKEN_TOOLS_MAX_BYTES);
    buf_literal(&words, "valid token for ");
    token_tools_append_user(&words, claims->user);
    if (claims->grant.channel) {
        buf_literal(&words, " and channel ");
        json_append_string(&words, str_of(claims->grant.channel));
    }
    if (time_claim(q, "exp", &seconds)) {
        buf_literal(&words, ", good until ");
        token_tools_append_time(&words, seconds, q->now);
    } else {
        buf_literal(&words, ", without an end");
    }
    if (client->insecure_skip_token_signature_verify) {
        buf_literal(&words, "\nits signature was not looked at: "
                            "client.insecure_skip_token_signature_verify is true");
    }
    append_part(&words, "claims", &q->claims);
    return token_tools_print(stdout, &words) ? 0 : 1;
}

static int answer(struct question *q)
{
    struct token_claims claims = {0};
    const char *why = "";
    q->now = clock_wall_ms() / 1000;
    take_apart(q);
    enum status status = token_tools_verify(q->settings, q->kind, q->token, q->now, &claims, &why);
    int code = status == STATUS_OK ? say_yes(q, &claims) : say_no(q, status, why);
    token_claims_release(&claims);
    buf_release(&q->header);
    buf_release(&q->claims);
    return code;
}

/* The command line is seen by others on the machine; what stands on stdin is not. */
static struct str read_token(const char *argument, struct buf *out)
{
    char piece[4096];
    size_t n;
    buf_init(out, TOKEN_TOOLS_MAX_BYTES);
    if (strcmp(argument, "-") != 0) {
        buf_append(out, str_of(argument));
    } else {
        while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0) {
            buf_append(out, (struct str){piece, n});
        }
    }
    while (out->len > 0 && strchr(" \r\n\t", out->ptr[out->len - 1])) {
        out->len--;
    }
    return buf_str(out);
}

static int run(enum token_kind kind, int argc, char **argv)
{
    const char *config = NULL;
    const char *argument = NULL;
    const struct command_option options[] = {
        {"config", 'c', "FILE", "the configuration", true, &config, NULL},
        {NULL, 0, "TOKEN", "the token; -: it is read from stdin", true, &argument, NULL},
    };
    struct settings settings;
    struct buf text;
    int code;
    if (!command_read(options, 2, argc, argv, &code)) {
        return code;
    }
    struct question q = {.settings = &settings, .kind = kind};
    code = 1;
    if (settings_load(config, &settings)) {
        q.token = read_token(argument, &text);
        code = answer(&q);
        buf_release(&text);
    }
    settings_release(&settings);
    return code;
}

int tools_checktoken(int argc, char **argv)
{
    return run(TOKEN_CONNECTION, argc, argv);
}

int tools_checksubtoken(int argc, char **argv)
{
    return run(TOKEN_SUBSCRIPTION, argc, argv);
}
