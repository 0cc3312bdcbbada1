/* SPDX-License-Identifier: MIT */
/* The commands around configurations. No state. */
#include <stdio.h>
#include <stdlib.h>

#include "settings.h"
#include "tools/command.h"
#include "tools/tools.h"

int tools_checkconfig(int argc, char **argv)
{
    const char *path = NULL;
    const struct command_option options[] = {
        {"config", 'c', "FILE", "the configuration", true, &path, NULL},
    };
    struct settings settings;
    int code;
    if (!command_read(options, 1, argc, argv, &code)) {
        return code;
    }
    bool is_good = settings_load(path, &settings);
    if (is_good) {
        printf("%s: ok\n", path);
    }
    settings_release(&settings);
    return is_good ? 0 : 1;
}

/* Takes the text. */
static int print_out(char *text)
{
    bool is_out = puts(text) >= 0 && fflush(stdout) == 0;
    free(text);
    if (!is_out) {
        perror("it could not be written");
    }
    return is_out ? 0 : 1;
}

int tools_configschema(int argc, char **argv)
{
    int code;
    return command_read(NULL, 0, argc, argv, &code)
               ? print_out(config_schema(&settings_shape, "The configuration of Belfry"))
               : code;
}

int tools_defaultconfig(int argc, char **argv)
{
    int code;
    return command_read(NULL, 0, argc, argv, &code) ? print_out(config_defaults(&settings_shape))
                                                    : code;
}
