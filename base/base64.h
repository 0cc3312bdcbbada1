/* Base64 (RFC 4648): bytes that travel as text. */
#ifndef BELFRY_BASE_BASE64_H
#define BELFRY_BASE_BASE64_H

#include "base/buf.h"

/* Each appends the bytes; false when text is not what it should be, or the buffer is full. What was
 * appended then is of no use. */

/* Section 4: padded with '=' to whole groups of four; nothing else between or behind. */
bool base64_decode(struct str text, struct buf *out);
/* Section 5, as tokens have it: '-' and '_' for '+' and '/', without padding. */
bool base64url_decode(struct str text, struct buf *out);

/* Section 4, padded, and section 5, without padding; a failure is the buffer's. */
void base64_encode(struct str bytes, struct buf *out);
void base64url_encode(struct str bytes, struct buf *out);

#endif
