/* How the receiver of a signed request knows where it comes from. Two forms:
 * "t=<unix seconds>,v1=<HMAC-SHA256 of '<t>.<body>' in hexadecimal>", which this hub gives its
 * webhooks and takes from others, and "sha256=<HMAC-SHA256 of the body in hexadecimal>", which is
 * GitHub's. No state. */
#ifndef BELFRY_HUB_WEBHOOK_SIGNATURE_H
#define BELFRY_HUB_WEBHOOK_SIGNATURE_H

#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

#define WEBHOOK_SIGNATURE_SIZE 100

/* How far the time of a signature may be from the clock. */
#define WEBHOOK_TOLERANCE_S 300

/* NUL-terminated. STATUS_INTERNAL: OpenSSL cannot (it logs nothing). */
enum status webhook_sign(struct str key, int64_t time_s, struct str body,
                         char ret_text[WEBHOOK_SIGNATURE_SIZE]) MUST_CHECK;

/* Is text a signature of the body, in the first form, made about now? STATUS_INVALID: it is none;
 * STATUS_EXPIRED: not of about now; STATUS_UNAUTHORIZED: of another body, or with another key.
 * STATUS_INTERNAL. The comparison takes as long wherever the two differ. */
enum status webhook_verify(struct str key, int64_t now_s, struct str body,
                           struct str text) MUST_CHECK;
/* The same in the second form, which has no time. */
enum status webhook_verify_body(struct str key, struct str body, struct str text) MUST_CHECK;

#endif
