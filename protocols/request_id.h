/* X-Request-Id: the name of a request, by which its traces in several logs are found. A caller's
 * own is taken over; else one is made. No state but the generator's. */
#ifndef BELFRY_PROTOCOLS_REQUEST_ID_H
#define BELFRY_PROTOCOLS_REQUEST_ID_H

#include "base/str.h"

#define REQUEST_ID_MAX_BYTES  128
#define REQUEST_ID_MADE_BYTES 16

/* Letters, digits and "-._~:+/=@", at most REQUEST_ID_MAX_BYTES of them: nothing that means
 * something in a log or a header. */
bool request_id_is_good(struct str id);
/* Hexadecimal digits, without a NUL. Unlike others with all likelihood; no secret. */
void request_id_make(char id[REQUEST_ID_MADE_BYTES]);

#endif
