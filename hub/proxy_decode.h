/* What a backend answers, read from JSON. */
#ifndef BELFRY_HUB_PROXY_DECODE_H
#define BELFRY_HUB_PROXY_DECODE_H

#include "base/str.h"
#include "hub/proxy.h"

#define PROXY_DECODE_MAX_TEXTS 12

struct proxy_reading {
    struct proxy_answer answer; /* after STATUS_OK; its texts are in here or in the body */
    char *texts[PROXY_DECODE_MAX_TEXTS];
    size_t n_texts;
    const char *wrong; /* after STATUS_INVALID: static texts, for the log */
    const char *expected;
};

/* The body of an answer with status 200, which outlives the reading. STATUS_INVALID,
 * STATUS_NO_MEMORY. To be released in any case. */
enum status proxy_decode(enum proxy_event event, struct str body,
                         struct proxy_reading *ret_reading) MUST_CHECK;
void proxy_reading_release(struct proxy_reading *reading);

#endif
