/* Reading the parameters of commands of the Centrifugo JSON protocol. Absent members are zero; all
 * functions return false for a member of a wrong type. Texts point into the message, or, where they
 * have escapes, into `decoded`. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_PARAMS_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_PARAMS_H

#include "base/json_span.h"
#include "hub/client.h"

struct centrifuge_params {
    struct str object;   /* checked JSON */
    struct buf *decoded; /* empty at first; its maximum is the message's length or more, so that it
                            is allocated once and what is in it stays where it is */
};

bool centrifuge_read_fields(const struct centrifuge_params *params, struct json_field *fields,
                            size_t n_fields) MUST_CHECK;
bool centrifuge_read_text(const struct centrifuge_params *params, struct str value,
                          struct str *ret_text) MUST_CHECK;
bool centrifuge_read_u64(struct str value, uint64_t *ret_number) MUST_CHECK;

/* Commands with nothing but a channel. */
bool centrifuge_read_channel(const struct centrifuge_params *params,
                             struct str *ret_channel) MUST_CHECK;
/* object, decoded: as in centrifuge_params. */
bool centrifuge_read_connect(struct str object, struct buf *decoded,
                             struct connect_request *ret_request) MUST_CHECK;
/* ret_is_stream: false for a kind of subscription that no namespace here has. */
bool centrifuge_read_subscribe(const struct centrifuge_params *params,
                               struct subscribe_request *ret_request,
                               bool *ret_is_stream) MUST_CHECK;
/* Fills in what the client says; limits are the caller's. */
bool centrifuge_read_history(const struct centrifuge_params *params,
                             struct history_request *request) MUST_CHECK;

#endif
