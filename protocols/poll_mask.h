/* Event masks that change for nothing. libwebsockets sets the mask of a socket again and again on
 * its way through one HTTP request: the same one, or one that it takes back at once. libuv's
 * uv_poll_start() makes two system calls of each (EPOLL_CTL_DEL at once, EPOLL_CTL_ADD before it
 * waits), which was a third of what a request cost. Unit poll_mask defines uv_poll_start() in
 * libuv's place and leaves those out. Without it all works the same, only slower.
 *
 * Loop's thread only. */
#ifndef BELFRY_PROTOCOLS_POLL_MASK_H
#define BELFRY_PROTOCOLS_POLL_MASK_H

/* Between the two calls one handle's mask may change as often as it likes: only the last one is
 * set. Nothing may wait for events in between, nor may the handle be freed. */
void poll_mask_hold(void);
void poll_mask_release(void);

#endif
