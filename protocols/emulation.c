/* SPDX-License-Identifier: MIT */
/* Unit emulation keeps the table of sessions, and hands commands over to them in the order in which
 * they come in. A session lives as long as its client's stream. */
#include "protocols/emulation.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/json_span.h"
#include "protocols/centrifuge_params.h"

struct emulation_entry {
    UT_hash_handle hh;
    struct centrifuge_session *session;
    char id[RNG_UUID_SIZE];
};

struct emulation_entry *emulation_enter(struct emulation *e, struct centrifuge_session *session)
{
    struct emulation_entry *entry = calloc(1, sizeof(*entry));
    if (!entry) {
        return NULL;
    }
    entry->session = session;
    rng_uuid(entry->id);
    HASH_ADD(hh, e->entries, id, RNG_UUID_SIZE - 1, entry);
    return entry;
}

void emulation_leave(struct emulation *e, struct emulation_entry *entry)
{
    HASH_DELETE(hh, e->entries, entry);
    free(entry);
}

const char *emulation_session_id(const struct emulation_entry *entry)
{
    return entry->id;
}

static bool read_text(const struct centrifuge_params *params, struct str value,
                      struct str *ret_text)
{
    return value.len > 0 && json_kind(value) == JSON_KIND_STRING &&
           centrifuge_read_text(params, value, ret_text);
}

const char *emulation_read(struct str body, struct buf *decoded, struct emulation_message *ret)
{
    struct json_field f[] = {
        {STR("session"), STR_EMPTY}, {STR("node"), STR_EMPTY}, {STR("data"), STR_EMPTY}};
    const struct centrifuge_params params = {.object = json_trim(body), .decoded = decoded};
    if (json_check(body, NULL) != STATUS_OK) {
        return "malformed JSON\n";
    }
    if (json_read_object(params.object, f, sizeof(f) / sizeof(f[0]), NULL) != STATUS_OK ||
        !read_text(&params, f[0].value, &ret->session) ||
        !read_text(&params, f[1].value, &ret->node) ||
        !read_text(&params, f[2].value, &ret->data)) {
        return "expected an object with the texts session, node and data\n";
    }
    return NULL;
}

static void reply_text(struct http_request *request, int status, const char *text)
{
    http_reply(request, &(struct http_reply){.status = status,
                                             .content_type = "text/plain; charset=utf-8",
                                             .body = str_of(text)});
}

static void deliver(struct emulation *e, const struct emulation_message *message)
{
    struct emulation_entry *entry;
    HASH_FIND(hh, e->entries, message->session.ptr, message->session.len, entry);
    if (!entry) { /* its stream has ended, which the client is told there */
        return;
    }
    struct centrifuge_session *session = entry->session;
    size_t n_waiting = centrifuge_waiting_bytes(session);
    if (n_waiting > 0 && n_waiting + message->data.len > e->waiting_max_bytes) {
        client_disconnect(session->client, &disconnect_too_many_requests);
        return;
    }
    centrifuge_receive(session, message->data);
}

static void handle_message(struct emulation *e, struct http_request *request)
{
    struct str body = http_request_body(request);
    struct emulation_message message;
    struct buf decoded;
    buf_init(&decoded, body.len + 1);
    const char *expected = emulation_read(body, &decoded, &message);
    if (expected) {
        reply_text(request, 400, expected);
    } else if (!str_eq(message.node, str_of(e->node))) {
        reply_text(request, 404, "this node is not here\n");
    } else {
        deliver(e, &message);
        http_reply(request, &(struct http_reply){.status = 204});
    }
    buf_release(&decoded);
}

void emulation_handle(struct emulation *e, struct http_request *request)
{
    switch (http_request_method(request)) {
    case HTTP_POST: handle_message(e, request); return;
    case HTTP_OPTIONS:
        http_reply(request,
                   &(struct http_reply){.status = 204,
                                        .headers = "Access-Control-Allow-Methods: POST, OPTIONS\r\n"
                                                   "Access-Control-Max-Age: 300\r\n"});
        return;
    default:
        http_reply(request,
                   &(struct http_reply){.status = 405, .headers = "Allow: POST, OPTIONS\r\n"});
    }
}
