/* SPDX-License-Identifier: MIT */
/* Unit centrifuge_uni connects a client that can say nothing else. The state is the session's, on
 * the loop's thread. */
#include "protocols/centrifuge_uni.h"

#include <stdlib.h>

#include "base/json_span.h"
#include "base/rng.h"
#include "hub/traffic.h"
#include "protocols/centrifuge_frames.h"

#define CONNECT_MAX_BYTES ((size_t)64 << 20)

const struct disconnect *centrifuge_uni_disconnect_of(uint32_t error_code)
{
    switch (error_code) {
    case 103: return &disconnect_permission_denied;
    case 109:
    case 110: return &disconnect_expired;
    case 111: return &disconnect_too_many_requests;
    default: return &disconnect_internal_error;
    }
}

void centrifuge_uni_open(struct centrifuge_session *s, struct client *client,
                         void (*on_idle)(struct centrifuge_session *session))
{
    centrifuge_open(s, client, on_idle);
    char *id = calloc(1, RNG_UUID_SIZE);
    if (id) {
        rng_uuid(id);
        s->emulation_session = id;
        client_set_session(client, id);
    }
}

bool centrifuge_uni_close(struct centrifuge_session *s)
{
    char *id = (char *)(uintptr_t)s->emulation_session;
    s->emulation_session = NULL;
    bool is_over = centrifuge_close(s);
    free(id);
    return is_over;
}

static void refuse(struct client *client, uint32_t error_code)
{
    const struct disconnect_transforms *options =
        &hub_client_options(client_hub(client))->connect_code_to_unidirectional_disconnect;
    const struct disconnect_transform *transforms = options->transforms.items;
    for (size_t i = 0; options->enabled && i < options->transforms.n_items; i++) {
        if (transforms[i].code == error_code) {
            client_disconnect_with(client, (uint32_t)transforms[i].disconnect_code,
                                   str_of(transforms[i].disconnect_reason));
            return;
        }
    }
    client_disconnect(client, centrifuge_uni_disconnect_of(error_code));
}

static void greet(struct centrifuge_session *s, const struct connect_result *result)
{
    struct buf push;
    buf_init(&push, CONNECT_MAX_BYTES);
    centrifuge_write_connect_push(&push, s->client, result, s->emulation_session);
    s->is_authenticated = true;
    if (buf_failed(&push)) {
        client_disconnect(s->client, &disconnect_internal_error);
    } else {
        client_send_first(s->client, buf_str(&push));
    }
    buf_release(&push);
}

static void connected(void *arg, enum status status, const struct client_error *error,
                      const struct connect_result *result)
{
    struct centrifuge_session *s = arg;
    s->is_busy = false;
    if (s->is_closed) {
        s->on_idle(s);
    } else if (status == STATUS_OK) {
        greet(s, result);
    } else if (status != STATUS_CLOSED) {
        refuse(s->client, error ? error->code : protocol_error_of(status)->code);
    }
}

void centrifuge_uni_connect(struct centrifuge_session *s, struct str request)
{
    if (s->is_busy || s->is_authenticated || client_is_leaving(s->client)) {
        return;
    }
    traffic_received(hub_traffic(client_hub(s->client)), client_transport(s->client)->kind,
                     request.len);
    struct connect_request connect = {0};
    struct str params = request.len > 0 ? request : STR("{}");
    struct buf decoded;
    buf_init(&decoded, params.len + 1);
    if (json_check(params, NULL) == STATUS_OK && json_kind(json_trim(params)) == JSON_KIND_OBJECT &&
        centrifuge_read_connect(json_trim(params), &decoded, &connect)) {
        s->is_busy = true;
        client_connect(s->client, &connect, connected, s);
    } else {
        client_disconnect(s->client, &disconnect_bad_request);
    }
    buf_release(&decoded);
}
