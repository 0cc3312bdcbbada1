/* How a backend knows that a webhook's request comes from this hub: the header's value is
 * "t=<unix seconds>,v1=<HMAC-SHA256 of '<t>.<body>' in hexadecimal>". No state. */
#ifndef BELFRY_HUB_WEBHOOK_SIGNATURE_H
#define BELFRY_HUB_WEBHOOK_SIGNATURE_H

#include "base/status.h"
#include "base/str.h"

#define WEBHOOK_SIGNATURE_SIZE 100

/* NUL-terminated. STATUS_INTERNAL: OpenSSL cannot (it logs nothing). */
enum status webhook_sign(struct str key, int64_t time_s, struct str body,
                         char ret_text[WEBHOOK_SIGNATURE_SIZE]) MUST_CHECK;

#endif
