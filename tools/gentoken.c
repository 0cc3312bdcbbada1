/* SPDX-License-Identifier: MIT */
/* The commands that make tokens, with the shared secret of the configuration. No state. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json_span.h"
#include "hub/token_keys.h"
#include "tools/command.h"
#include "tools/token_tools.h"
#include "tools/tools.h"

/* What the command line asks for; NULL where it does not. */
struct wish {
    const char *command;
    enum token_kind kind;
    const char *config, *user, *ttl, *info, *algorithm, *audience, *issuer;
    const char *channels, *meta;         /* of a connection */
    const char *channel, *client, *data; /* of a subscription */
    bool is_quiet;
    int64_t now, expires_at; /* 0: never */
    const struct token_algorithm *signer;
};

/* --- what is asked for --- */

static bool has_json(const struct wish *w, const char *option, const char *text, bool is_object)
{
    if (!text || (json_check(str_of(text), NULL) == STATUS_OK &&
                  (!is_object || json_kind(json_trim(str_of(text))) == JSON_KIND_OBJECT))) {
        return true;
    }
    char words[80];
    (void)snprintf(words, sizeof(words), "--%s is not %s", option,
                   is_object ? "a JSON object" : "JSON");
    (void)command_misused(w->command, words);
    return false;
}

/* Seconds, or a duration; -1 or "never": without an end. */
static bool read_ttl(struct wish *w)
{
    const char *ttl = w->ttl ? w->ttl : "168h";
    int64_t ms = 0;
    uint64_t seconds = 0;
    bool is_endless = strcmp(ttl, "never") == 0 || strcmp(ttl, "-1") == 0;
    if (!is_endless && str_to_u64(str_of(ttl), &seconds) && seconds < INT64_MAX / 1000) {
        ms = (int64_t)seconds * 1000;
    } else if (!is_endless && !config_parse_duration(str_of(ttl), &ms)) {
        ms = 0;
    }
    if (!is_endless && ms < 1000) {
        (void)command_misused(w->command,
                              "--ttl is not \"never\", a duration from 1s on, such as \"1h30m\", "
                              "or a number of seconds");
        return false;
    }
    w->expires_at = is_endless ? 0 : w->now + ms / 1000;
    return true;
}

static bool read_algorithm(struct wish *w)
{
    w->signer = token_algorithm_of(str_of(w->algorithm ? w->algorithm : "HS256"));
    if (w->signer && w->signer->kind == KEY_HMAC) {
        return true;
    }
    (void)command_misused(w->command, "--algorithm is not one of HS256, HS384, HS512");
    return false;
}

/* --- claims --- */

static void begin_claim(struct buf *out, const char *name)
{
    buf_append(out, out->len > 1 ? STR(",") : STR_EMPTY);
    json_append_string(out, str_of(name));
    buf_append_char(out, ':');
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    if (text && *text) {
        begin_claim(out, name);
        json_append_string(out, str_of(text));
    }
}

static void add_json(struct buf *out, const char *name, const char *json)
{
    if (json) {
        begin_claim(out, name);
        json_append_one_line(out, json_trim(str_of(json)));
    }
}

static void add_time(struct buf *out, const char *name, int64_t seconds)
{
    begin_claim(out, name);
    buf_append_i64(out, seconds);
}

/* Names with blanks between them. */
static void add_channels(struct buf *out, const char *names)
{
    bool is_first = true;
    if (!names) {
        return;
    }
    begin_claim(out, "channels");
    buf_append_char(out, '[');
    for (struct str rest = str_trim(str_of(names)); rest.len > 0; rest = str_trim(rest)) {
        ptrdiff_t blank = str_find(rest, ' ');
        struct str name = str_head(rest, blank < 0 ? rest.len : (size_t)blank);
        buf_append(out, is_first ? STR_EMPTY : STR(","));
        json_append_string(out, name);
        rest = str_tail(rest, name.len);
        is_first = false;
    }
    buf_append_char(out, ']');
}

static void write_claims(struct buf *out, const struct wish *w, const struct token_options *keys)
{
    buf_append_char(out, '{');
    add_text(out, keys->user_id_claim[0] ? keys->user_id_claim : "sub", w->user);
    add_time(out, "iat", w->now);
    if (w->expires_at > 0) {
        add_time(out, "exp", w->expires_at);
    }
    add_text(out, "aud", w->audience ? w->audience : keys->audience);
    add_text(out, "iss", w->issuer ? w->issuer : keys->issuer);
    add_json(out, "info", w->info);
    add_json(out, "meta", w->meta);
    add_channels(out, w->channels);
    add_text(out, "channel", w->channel);
    add_text(out, "client", w->client);
    add_json(out, "data", w->data);
    buf_append_char(out, '}');
}

/* --- the token --- */

static bool can_sign(const struct token_options *keys, const char *section)
{
    const char *why = NULL;
    if (keys->jwks_public_endpoint[0]) {
        why = "tokens are verified by the key set of jwks_public_endpoint alone, which has public "
              "keys: who has the private ones signs";
    } else if (!keys->hmac_secret_key[0] &&
               (keys->rsa_public_key[0] || keys->ecdsa_public_key[0])) {
        why = "there is no hmac_secret_key, and public keys only verify: who has the private key "
              "signs";
    } else if (!keys->hmac_secret_key[0]) {
        why = "there is no hmac_secret_key";
    }
    if (why) {
        fprintf(stderr, "no token can be made with %s: %s\n", section, why);
    }
    return !why;
}

static bool sign(const struct wish *w, const struct token_options *keys, struct buf *token)
{
    struct buf claims, signature;
    buf_init(&claims, TOKEN_TOOLS_MAX_BYTES);
    buf_init(&signature, TOKEN_TOOLS_MAX_BYTES);
    write_claims(&claims, w, keys);
    buf_printf(&signature, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", w->signer->name);
    base64url_encode(buf_str(&signature), token);
    buf_append_char(token, '.');
    base64url_encode(buf_str(&claims), token);
    buf_clear(&signature);
    bool is_signed = token_hmac_sign(keys->hmac_secret_key, w->signer, buf_str(token), &signature);
    buf_append_char(token, '.');
    base64url_encode(buf_str(&signature), token);
    bool is_whole = is_signed && !buf_failed(&claims) && !buf_failed(token);
    buf_release(&claims);
    buf_release(&signature);
    if (!is_whole) {
        fputs("the token is too long\n", stderr);
    }
    return is_whole;
}

/* To stderr: stdout has the token alone, for scripts. */
static void print_words(const struct wish *w)
{
    struct buf words;
    buf_init(&words, TOKEN_TOOLS_MAX_BYTES);
    buf_printf(&words, "%s token for ", w->signer->name);
    token_tools_append_user(&words, w->user);
    if (w->channel) {
        buf_literal(&words, " and channel ");
        json_append_string(&words, str_of(w->channel));
    }
    if (w->expires_at > 0) {
        buf_literal(&words, ", good until ");
        token_tools_append_time(&words, w->expires_at, w->now);
    } else {
        buf_literal(&words, ", without an end");
    }
    (void)token_tools_print(stderr, &words);
}

/* What the hub would refuse is not made. */
static bool is_accepted(const struct settings *settings, const struct wish *w, struct str token)
{
    struct token_claims claims = {0};
    const char *why;
    if (token_tools_verify(settings, w->kind, token, w->now, &claims, &why) != STATUS_OK) {
        fprintf(stderr, "the hub would refuse such a token: %s\n", why);
        return false;
    }
    token_claims_release(&claims);
    return true;
}

static int make(const struct settings *settings, const struct wish *w)
{
    const char *section;
    const struct token_options *keys = token_tools_options(settings, w->kind, &section);
    struct buf token;
    buf_init(&token, TOKEN_TOOLS_MAX_BYTES);
    bool is_made = can_sign(keys, section) && sign(w, keys, &token) &&
                   is_accepted(settings, w, buf_str(&token));
    if (is_made && !w->is_quiet) {
        print_words(w);
    }
    is_made = is_made && token_tools_print(stdout, &token);
    buf_release(&token);
    return is_made ? 0 : 1;
}

static int run(struct wish *w, const struct command_option *options, size_t n_options, int argc,
               char **argv)
{
    struct settings settings;
    int code;
    w->command = argv[0];
    if (!command_read(options, n_options, argc, argv, &code)) {
        return code;
    }
    w->now = clock_wall_ms() / 1000;
    if (!read_ttl(w) || !read_algorithm(w) || !has_json(w, "info", w->info, false) ||
        !has_json(w, "meta", w->meta, true) || !has_json(w, "data", w->data, false)) {
        return 2;
    }
    code = settings_load(w->config, &settings) ? make(&settings, w) : 1;
    settings_release(&settings);
    return code;
}

#define CONFIG(w)                                                                                  \
    {                                                                                              \
        "config", 'c', "FILE", "the configuration, whose secret signs", true, &(w).config, NULL    \
    }
#define COMMON(w)                                                                                  \
    {                                                                                              \
        "user", 'u',       "ID", "whose token it is; without: the anonymous user's",               \
        false,  &(w).user, NULL},                                                                  \
        {"ttl",  't',                                                                              \
         "TIME", "until it expires: \"1h30m\", seconds, or \"never\"; 168h by default",            \
         false,  &(w).ttl,                                                                         \
         NULL},                                                                                    \
        {"info", 'i', "JSON", "what others see of the user", false, &(w).info, NULL},              \
        {"audience",    0,   "TEXT", "its aud; that of the configuration by default", false,       \
         &(w).audience, NULL},                                                                     \
        {"issuer", 0,           "TEXT", "its iss; that of the configuration by default",           \
         false,    &(w).issuer, NULL},                                                             \
        {"algorithm", 'a', "NAME", "HS256, HS384 or HS512", false, &(w).algorithm, NULL},          \
    {                                                                                              \
        "quiet", 'q', NULL, "the token alone, no words on stderr", false, NULL, &(w).is_quiet      \
    }

int tools_gentoken(int argc, char **argv)
{
    struct wish w = {.kind = TOKEN_CONNECTION};
    const struct command_option options[] = {
        CONFIG(w),
        COMMON(w),
        {"channels", 's', "NAMES", "that the server subscribes it to, with blanks between them",
         false, &w.channels, NULL},
        {"meta", 'm', "JSON", "an object that stays on the server, for proxies", false, &w.meta,
         NULL},
    };
    return run(&w, options, sizeof(options) / sizeof(options[0]), argc, argv);
}

int tools_gensubtoken(int argc, char **argv)
{
    struct wish w = {.kind = TOKEN_SUBSCRIPTION};
    const struct command_option options[] = {
        CONFIG(w),
        {"channel", 's', "NAME", "the channel that it is for", true, &w.channel, NULL},
        COMMON(w),
        {"client", 0, "ID", "of the only connection that may use it", false, &w.client, NULL},
        {"data", 'd', "JSON", "what the subscriber is told", false, &w.data, NULL},
    };
    return run(&w, options, sizeof(options) / sizeof(options[0]), argc, argv);
}
