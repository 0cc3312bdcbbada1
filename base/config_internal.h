/* What the files of the configuration reader share; its face is base/config.h.
 *   config.c              walks the document and the shapes
 *   config_comments.c     takes comments out (without state)
 *   config_environment.c  BELFRY_* variables
 *   config_errors.c       where the reader is, and what it complains about
 *   config_text.c         durations, ${NAME}, the words of messages (without state)
 *   config_file.c         loads the file
 *   config_schema.c       the shapes themselves, as JSON */
#ifndef BELFRY_BASE_CONFIG_INTERNAL_H
#define BELFRY_BASE_CONFIG_INTERNAL_H

#include <jansson.h>

#include "base/buf.h"
#include "base/config.h"

struct config_reader {
    const struct config_shape *shape; /* of the object that is being read or checked */
    json_t *json;                     /* that object; NULL where the document has none */
    struct buf path;
    unsigned in_lists; /* how many lists are around it: no environment variable reaches in there */
    bool is_request; /* the document is somebody else's: the environment is none of its business */
    bool mute;       /* after the one error that makes all others meaningless */
    size_t n_errors; /* all, also those that are too many to be kept */
    char **wrong;    /* paths of values that were complained about */
    size_t n_wrong;
    struct config_errors *errors;
};

/* Memory: what is short at start-up ends the program. */
void *config_must_have(void *memory);
struct buf config_text_buf(void);
char *config_text_take(struct buf *b);

/* The path that the reader is at. Entering returns what config_leave() needs to go back. */
size_t config_enter_key(struct config_reader *r, struct str key);
size_t config_enter_item(struct config_reader *r, size_t index);
void config_leave(struct config_reader *r, size_t outer);
const struct config_field *config_find_field(const struct config_shape *shape, struct str key);

/* The variable that may override the key the reader is at, to be freed. */
char *config_override_name(const struct config_reader *r);
/* Its text; NULL: there is none, or the key is none that can be overridden. */
const char *config_override_text(const struct config_reader *r, const struct config_field *field);
/* A misspelt override would be ignored in silence otherwise. Variables that the document mentions
 * as ${NAME} are in use. */
void config_warn_of_variables(const struct config_shape *shape, struct str document);

/* Complaints about the key that the reader is at. An error's text begins with the path. */
struct buf config_begin_error(const struct config_reader *r);
/* Takes the text over. */
void config_add_error(struct config_reader *r, struct buf *text);
void config_complain_expected(struct config_reader *r, const struct config_field *field,
                              const json_t *value);
void config_complain_override(struct config_reader *r, const struct config_field *field,
                              const char *value);
/* found: the document's value, or NULL. */
void config_complain_accept(struct config_reader *r, const struct config_field *field,
                            const json_t *found, const char *expected);
void config_complain_missing(struct config_reader *r, const struct config_field *field);
/* key: of the object that is being read. */
void config_complain_unknown(struct config_reader *r, struct str key);
void config_complain_document(struct config_reader *r, const char *problem);
void config_complain_syntax(struct config_reader *r, const json_error_t *error);
/* error: at the comment's beginning. */
void config_complain_open_comment(struct config_reader *r, const json_error_t *error);
/* The last error, where there were too many to keep: how many. */
void config_note_dropped(struct config_reader *r);
void config_forget_wrong(struct config_reader *r);

/* Replaces each ${NAME} by the environment variable; $${ stands for ${ itself. False: problem says
 * in words what is wrong. */
bool config_expand(struct str text, struct buf *out, struct buf *problem);
/* Appends text with blanks for its comments: a character for a character, so that lines and columns
 * stay. Returns where in out a comment begins that has no end, which stands there as it is;
 * SIZE_MAX: there is none. */
size_t config_blank_comments(struct str text, struct buf *out);
/* Text in quotes, escaped and cut to a length that fits into a message; without the password of a
 * URL. A private key is not shown at all. */
void config_append_shown(struct buf *out, struct str text);
/* A key as it stands in a path: quoted only where it is no plain word. */
void config_append_key(struct buf *out, struct str key);
/* What a field accepts: "a TCP port from 1 to 65535", "one of full, normal, memory". */
void config_append_expected(struct buf *out, const struct config_field *field);
/* "unknown key (did you mean ...?); known here: ..." */
void config_append_unknown(struct buf *out, const struct config_shape *shape, struct str key);

#endif
