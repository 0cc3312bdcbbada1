/* One call of a method of the server API: begun by an HTTP request of its own, by a command of a
 * batch, or by a line of POST /api. A method answers its call once, at once or later, and need not
 * know how it was begun. */
#ifndef BELFRY_PROTOCOLS_API_CALL_H
#define BELFRY_PROTOCOLS_API_CALL_H

#include "base/buf.h"
#include "base/status.h"
#include "hub/hub.h"
#include "protocols/api_methods.h"
#include "protocols/http.h"

struct api;
struct api_call;
struct api_key;

/* What a call that belongs to something larger was answered with. */
struct api_answer {
    enum status status;
    const char *detail; /* for an error: what was wrong and what was expected, or "" */
    struct str result;  /* STATUS_OK: the result's value, or, of a batch, members of an object */
};
typedef void (*api_answered_fn)(struct api_call *call, const struct api_answer *answer);

struct api_call {
    struct hub *hub;
    struct api *api;              /* NULL: it is not counted */
    struct api_key *key;          /* the caller's place; NULL: all is permitted */
    struct http_request *request; /* its own; NULL: it belongs to something larger */
    api_answered_fn answered;     /* then: its owner, who may free it */
    struct str params;            /* JSON as it came, for who wants to read it again */
    int64_t begun_us;
    enum api_method method;
    uint32_t key_id;        /* of the key that had the place when the call came */
    bool is_transport_mode; /* errors are bare, with an HTTP status of their own */
};

/* The request's own call; lives in it, until it is answered. */
struct api_call *api_call_of_request(struct hub *hub, struct http_request *request);

/* Each ends the call. */

/* detail: what was wrong and what was expected, or "". */
void api_answer_error(struct api_call *call, enum status status, const char *detail);
/* body: of api_begin_result(), with the result's value appended; is released. */
void api_answer_result(struct api_call *call, struct buf *body);
/* text: {"result":VALUE}, which others may get, too. */
void api_answer_text(struct api_call *call, const struct buf *text);

#endif
