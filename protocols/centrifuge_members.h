/* Writing of JSON objects as the Centrifugo JSON protocol has them: zero values are left out, as
 * clients take a missing member for zero. Each member is written with a comma in front; closing
 * drops the first one's. */
#ifndef BELFRY_PROTOCOLS_CENTRIFUGE_MEMBERS_H
#define BELFRY_PROTOCOLS_CENTRIFUGE_MEMBERS_H

#include "base/buf.h"

/* The result is for centrifuge_close_object(). */
size_t centrifuge_open_object(struct buf *out);
void centrifuge_close_object(struct buf *out, size_t start);

void centrifuge_append_bool(struct buf *out, const char *key, bool truth);
void centrifuge_append_number(struct buf *out, const char *key, uint64_t number);
/* As a JSON string. */
void centrifuge_append_text(struct buf *out, const char *key, struct str text);
/* value: checked JSON on one line. */
void centrifuge_append_json(struct buf *out, const char *key, struct str value);

#endif
