/* What a token, a proxy or the server API says about one subscription: who the subscriber is there,
 * what it is told, until when it holds, and which of the namespace's options it overrides. */
#ifndef BELFRY_HUB_SUBSCRIPTION_GRANT_H
#define BELFRY_HUB_SUBSCRIPTION_GRANT_H

#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

enum override_choice { OVERRIDE_NONE, OVERRIDE_FALSE, OVERRIDE_TRUE };

/* {"presence":{"value":true}, ...}; each an enum override_choice. */
struct subscription_override {
    unsigned char presence;
    unsigned char join_leave;
    unsigned char force_push_join_leave;
    unsigned char force_positioning;
    unsigned char force_recovery;
};

/* Owned texts; NULL where there is none. A zeroed one grants nothing special. */
struct subscription_grant {
    char *channel;      /* where the grant names one */
    char *info;         /* JSON text on one line: the subscriber's chan_info */
    char *data;         /* JSON text on one line: for the result of the subscription */
    int64_t expires_at; /* seconds since 1970; 0: never */
    struct subscription_override override;
};
void subscription_grant_release(struct subscription_grant *grant);

/* Of server-side subscriptions, in their order. */
struct subscription_grants {
    struct subscription_grant *items;
    size_t n_items;
};
void subscription_grants_release(struct subscription_grants *grants);

/* A JSON value and its base64 form, as "info" and "b64info" or "data" and "b64data" of a checked
 * JSON object are; each empty where it is absent. A base64 text that is not empty wins. ret_text:
 * on one line, byte for byte; NULL where there is neither. STATUS_INVALID: no base64 in a string,
 * or base64 of something that is no JSON. STATUS_NO_MEMORY. */
enum status subscription_text_read(struct str json, struct str base64, char **ret_text) MUST_CHECK;

/* What is wrong with a grant; constant texts. */
struct subscription_fault {
    const char *member;    /* "override.presence"; "": it is no object */
    const char *in_result; /* "result.override.presence" */
    const char *expected;  /* "an object" */
    const char *in_words;  /* "override.presence: expected ..." */
};

/* The members "info", "b64info", "data", "b64data", "expire_at" and "override" of a checked JSON
 * object, as claims of subscription tokens, results of proxies and requests of the server API have
 * them; one that is null is as absent, but for "info" and "data". ret_grant is to be released after
 * STATUS_OK. STATUS_INVALID: a wrong type, a name that is repeated, base64 of something that is no
 * JSON, or an unknown name inside "override", where a misspelt permission must not pass for none;
 * ret_fault (may be NULL) says which. STATUS_NO_MEMORY. */
enum status subscription_grant_read(struct str object, struct subscription_grant *ret_grant,
                                    const struct subscription_fault **ret_fault) MUST_CHECK;
/* "channels" (a list of names) and "subs" (names and what subscription_grant_read() reads) of a
 * checked JSON object: a name in both is in the result once, with what "subs" says. Names are not
 * looked at, but for being empty or having a NUL. */
enum status subscription_grants_read(struct str object, struct subscription_grants *ret_grants,
                                     const struct subscription_fault **ret_fault) MUST_CHECK;

#endif
