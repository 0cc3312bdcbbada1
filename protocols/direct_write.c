/* SPDX-License-Identifier: MIT */
/* Unit direct_write has no state; on the loop's thread. */
#include "protocols/direct_write.h"

#include <errno.h>
#include <libwebsockets.h>

bool direct_write_rest(struct lws *wsi, void *bytes, size_t len, ssize_t n)
{
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
    }
    size_t n_taken = n > 0 ? (size_t)n : 0;
    return lws_write(wsi, (unsigned char *)bytes + n_taken, len - n_taken, LWS_WRITE_HTTP) >= 0;
}
