/* SPDX-License-Identifier: MIT */
/* What the commands about tokens share: keys, words, and a verifier with a loop of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/json_span.h"
#include "base/log.h"
#include "tools/token_tools.h"

const struct token_options *token_tools_options(const struct settings *settings,
                                                enum token_kind kind, const char **ret_section)
{
    const struct token_options *own = &settings->client.subscription_token;
    bool has_own = kind == TOKEN_SUBSCRIPTION && own->enabled;
    *ret_section = has_own ? "client.subscription_token" : "client.token";
    return has_own ? own : &settings->client.token;
}

/* --- words --- */

/* The two largest units that are not 0. */
static void append_span(struct buf *out, int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    int n_shown = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && n_shown < 2; i++) {
        int64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (n > 0 || (n_shown == 0 && units[i].seconds == 1)) {
            buf_printf(out, "%" PRId64 "%c", n, units[i].name);
            n_shown++;
        } else if (n_shown > 0) {
            return;
        }
    }
}

void token_tools_append_time(struct buf *out, int64_t seconds, int64_t now)
{
    char text[40];
    struct tm utc;
    time_t at = (time_t)seconds;
    if (!gmtime_r(&at, &utc) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) {
        buf_append_i64(out, seconds); /* in a year that has no date */
        return;
    }
    buf_printf(out, "%s (%s", text, seconds > now ? "in " : "");
    append_span(out, seconds > now ? seconds - now : now - seconds);
    buf_append(out, seconds > now ? STR(")") : STR(" ago)"));
}

void token_tools_append_user(struct buf *out, const char *user)
{
    if (user) {
        buf_literal(out, "user ");
        json_append_string(out, str_of(user));
    } else {
        buf_literal(out, "the anonymous user");
    }
}

/* U+0080 to U+009F, and U+007F: terminals obey them, JSON's texts may have them, and a token is
 * anybody's. */
static size_t control_at(struct str text)
{
    unsigned char c = (unsigned char)text.ptr[0];
    bool is_late = c == 0xc2 && text.len > 1 && ((unsigned char)text.ptr[1] & 0xe0) == 0x80;
    return is_late ? 2 : c == 0x7f;
}

static void append_harmless(struct buf *out, struct str text)
{
    while (text.len > 0) {
        size_t n = control_at(text);
        if (n > 0) {
            buf_printf(out, "\\u00%02x", (unsigned)(unsigned char)text.ptr[n - 1]);
        } else {
            buf_append_char(out, text.ptr[0]);
            n = 1;
        }
        text = str_tail(text, n);
    }
}

bool token_tools_print(FILE *to, struct buf *text)
{
    struct buf out;
    buf_init(&out, 6 * text->len + 1);
    append_harmless(&out, buf_str(text));
    buf_append_char(&out, '\n');
    bool is_out = fwrite(out.ptr, 1, out.len, to) == out.len && fflush(to) == 0;
    buf_release(&out);
    buf_release(text);
    if (!is_out) {
        perror("it could not be written");
    }
    return is_out;
}

/* --- verifying --- */

struct verification {
    struct loop *loop;
    struct fetch_pool *pool;
    struct token_verifier *verifier;
    struct token_wait wait;
};

static void on_key_set(struct token_wait *wait)
{
    struct verification *v =
        (struct verification *)((char *)wait - offsetof(struct verification, wait));
    loop_stop(v->loop);
}

static enum status open_verification(struct verification *v, const struct settings *settings,
                                     const struct token_options *options)
{
    struct fetch_pool_options pool = {
        .max_concurrent = 1, .max_waiting = 1, .user_agent = "Belfry"};
    struct token_verifier_setup setup = {.options = options,
                                         .skips_signature =
                                             settings->client.insecure_skip_token_signature_verify};
    enum status status = loop_create(&v->loop);
    if (status == STATUS_OK) {
        pool.loop = v->loop;
        status = fetch_pool_create(&pool, &v->pool);
    }
    if (status == STATUS_OK) {
        setup.loop = v->loop;
        setup.fetch_pool = v->pool;
        status = token_verifier_create(&setup, &v->verifier);
    }
    return status;
}

enum status token_tools_verify(const struct settings *settings, enum token_kind kind,
                               struct str token, int64_t now, struct token_claims *ret_claims,
                               const char **ret_why)
{
    const char *section;
    struct verification v = {.wait = {.done = on_key_set}};
    enum status status =
        open_verification(&v, settings, token_tools_options(settings, kind, &section));
    log_set_level(LOG_WARN); /* that a key set has come is no news here */
    *ret_why = "there is no loop to verify it in";
    if (status == STATUS_OK) {
        status = token_verify(v.verifier, kind, token, now, ret_claims, ret_why);
    }
    if (status == STATUS_PENDING) {
        token_await(v.verifier, &v.wait);
        loop_run(v.loop);
        status = token_verify(v.verifier, kind, token, now, ret_claims, ret_why);
    }
    if (status == STATUS_PENDING) {
        *ret_why = "the key set cannot be fetched";
        status = STATUS_CONNECT;
    }
    token_verifier_destroy(v.verifier);
    fetch_pool_destroy(v.pool);
    loop_destroy(v.loop);
    return status;
}
