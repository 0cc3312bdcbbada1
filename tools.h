/* Commands that look after the database file, for operators. A hub may be running on it. Each
 * prints what it did or found and returns the program's exit code. */
#ifndef BELFRY_TOOLS_H
#define BELFRY_TOOLS_H

#include "settings.h"

/* 0: nothing is wrong. */
int tools_checkdb(const struct storage_settings *settings);
int tools_backup(const struct storage_settings *settings, const char *to);

#endif
