/* What the commands about tokens share. */
#ifndef BELFRY_TOOLS_TOKEN_TOOLS_H
#define BELFRY_TOOLS_TOKEN_TOOLS_H

#include "base/buf.h"
#include "hub/token.h"
#include "settings.h"

#define TOKEN_TOOLS_MAX_BYTES 65536 /* of claims, and of what is said about them */

/* The keys and demands of tokens of this kind, and where the configuration has them. */
const struct token_options *token_tools_options(const struct settings *settings,
                                                enum token_kind kind, const char **ret_section);

/* "2026-11-23T12:00:00Z (in 6d23h)", "2026-11-23T12:00:00Z (5m3s ago)" */
void token_tools_append_time(struct buf *out, int64_t seconds, int64_t now);
/* "user "42"", "the anonymous user" */
void token_tools_append_user(struct buf *out, const char *user);
/* Prints the text, ended by a line's end, and releases it. False: it could not be written, which is
 * said on stderr. */
bool token_tools_print(FILE *to, struct buf *text);

/* As token_verify(), in one go: a key set is fetched first. Returns STATUS_INTERNAL with words also
 * where the program lacks what it needs. */
enum status token_tools_verify(const struct settings *settings, enum token_kind kind,
                               struct str token, int64_t now, struct token_claims *ret_claims,
                               const char **ret_why) MUST_CHECK;

#endif
