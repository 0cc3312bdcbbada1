/* Encoding of the replies of the Centrifugo JSON protocol; pushes are in centrifuge_pushes.h. Zero
 * values are left out, as clients take a missing member for zero. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_FRAMES_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_FRAMES_H

#include "hub/client.h"
#include "protocols/errors.h"

/* Each appends one message. id: the command's. */
void centrifuge_write_error(struct buf *out, uint32_t id, const struct client_error *error);
/* {"id":N,"method":{}} */
void centrifuge_write_empty(struct buf *out, uint32_t id, const char *method);
/* {"id":N,"method":{"data":..}} */
void centrifuge_write_data(struct buf *out, uint32_t id, const char *method, struct str data);
/* session: by which commands find an emulated connection; NULL: none. */
void centrifuge_write_connect(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result, const char *session);
/* {"connect":{..}}: the first message on a unidirectional connection. */
void centrifuge_write_connect_push(struct buf *out, const struct client *client,
                                   const struct connect_result *result, const char *session);
void centrifuge_write_refresh(struct buf *out, uint32_t id, const struct client *client,
                              const struct connect_result *result);
void centrifuge_write_subscribe(struct buf *out, uint32_t id,
                                const struct subscribe_result *result);
void centrifuge_write_sub_refresh(struct buf *out, uint32_t id,
                                  const struct subscribe_result *result);
void centrifuge_write_history(struct buf *out, uint32_t id, const struct storage_history *history);
/* STATUS_OK, or nothing was appended. */
enum status centrifuge_write_presence(struct buf *out, uint32_t id, struct hub *hub,
                                      struct str channel) MUST_CHECK;
enum status centrifuge_write_presence_stats(struct buf *out, uint32_t id, struct hub *hub,
                                            struct str channel) MUST_CHECK;

/* Results without the envelope, as the server API answers them too. */
void centrifuge_append_history(struct buf *out, const struct storage_history *history);
enum status centrifuge_append_presence(struct buf *out, struct hub *hub,
                                       struct str channel) MUST_CHECK;
enum status centrifuge_append_presence_stats(struct buf *out, struct hub *hub,
                                             struct str channel) MUST_CHECK;

#endif
