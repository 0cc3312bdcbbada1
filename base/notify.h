/* Tells the service manager how the program is, where it wants to know: the protocol of systemd's
 * sd_notify(3), which is a few lines and needs no library. Does nothing where the environment names
 * no socket. For the loop's thread. */
#ifndef BELFRY_BASE_NOTIFY_H
#define BELFRY_BASE_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/status.h"

struct notify;

/* Writes one line for people ("12 connections"), as snprintf() does. */
typedef void (*notify_describe_fn)(void *arg, char *ret_text, size_t size);

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. What is wrong with them is said in the log,
 * and no reason not to run. */
enum status notify_create(struct loop *loop, notify_describe_fn describe, void *arg,
                          struct notify **ret_notify) MUST_CHECK;
/* While the loop runs. Accepts NULL. */
void notify_destroy(struct notify *n);

/* The program does its work, again after notify_reloading(). From the first time on the watchdog
 * hears of every turn of the loop that comes when it is due: one that is stuck is found. */
void notify_ready(struct notify *n);
void notify_reloading(struct notify *n);
/* It ends, and wants so much time for it, whatever the service manager grants by itself. */
void notify_stopping(struct notify *n, int64_t needs_ms);

#endif
