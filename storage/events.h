/* The writer's side of events: keeping, counting and removing. For the writer's thread, inside its
 * transaction. */
#ifndef BELFRY_STORAGE_EVENTS_H
#define BELFRY_STORAGE_EVENTS_H

#include "storage/db.h"
#include "storage/storage.h"

struct events;

/* Reads the last id that was given. */
enum status events_create(struct db *db, struct events **ret_events) MUST_CHECK;
/* Accepts NULL. */
void events_destroy(struct events *events);

/* Each fills in the "out" part of the operation but the status. */
enum status events_append(struct events *events, struct storage_event_append *append) MUST_CHECK;
enum status events_count(struct events *events, struct storage_events_count *count) MUST_CHECK;
enum status events_remove(struct events *events, struct storage_events_remove *remove) MUST_CHECK;
enum status events_remove_others(struct events *events,
                                 struct storage_events_remove_others *remove) MUST_CHECK;

#endif
