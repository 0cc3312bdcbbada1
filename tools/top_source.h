/* Asks a hub for a sample: the server API, and /metrics at the same time. On a loop. */
#ifndef BELFRY_TOOLS_TOP_SOURCE_H
#define BELFRY_TOOLS_TOP_SOURCE_H

#include "base/loop.h"
#include "tools/top_sample.h"
#include "upstreams/transport_options.h"

#define TOP_WHY_BYTES 300

struct top_source;

struct top_source_options {
    struct loop *loop;
    const char *url;     /* of the hub, without a path of its API */
    const char *key;     /* NULL: none */
    const char *metrics; /* the path */
    int64_t timeout_ms;
    const struct transport_options *transport; /* outlives it */
};

/* STATUS_INVALID: the key cannot be sent; STATUS_NO_MEMORY. The options' texts are copied. */
enum status top_source_create(const struct top_source_options *options,
                              struct top_source **ret_source) MUST_CHECK;
/* done() will not be called. Accepts NULL. */
void top_source_destroy(struct top_source *source);

/* sample: becomes the callee's; NULL: the hub did not answer well, why says how. figures_why: why
 * there are none of /metrics; "" where there are. The texts are good during the call. Not from
 * inside top_source_ask(). */
typedef void (*top_sample_fn)(void *arg, struct top_sample *sample, const char *why,
                              const char *figures_why);
/* Not before the last one is done. */
void top_source_ask(struct top_source *source, top_sample_fn done, void *arg);
bool top_source_is_asking(const struct top_source *source);

#endif
