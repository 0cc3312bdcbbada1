/* What a token says, once it is known to be signed well. For unit token. */
#ifndef BELFRY_HUB_TOKEN_CLAIMS_H
#define BELFRY_HUB_TOKEN_CLAIMS_H

#include "base/pattern.h"
#include "hub/token.h"

#define TOKEN_MAX_BYTES 16384

/* What is asked of every token of one verifier. */
struct token_demands {
    const char *audience; /* "": none; likewise the others */
    const char *issuer;
    const char *user_id_claim;              /* "": sub */
    const struct pattern *audience_pattern; /* NULL: none */
    const struct pattern *issuer_pattern;
};

/* payload: a checked JSON object. Outcome and ret_why as of token_verify(); ret_claims is to be
 * released in any case. */
enum status token_claims_read(const struct token_demands *demands, enum token_kind kind,
                              struct str payload, int64_t now, struct token_claims *ret_claims,
                              const char **ret_why) MUST_CHECK;

/* A JSON string; NULL where value is empty, null or "". STATUS_INVALID: it is something else, or
 * has a NUL inside. STATUS_NO_MEMORY. */
enum status token_read_text(struct str value, char **ret_text) MUST_CHECK;

#endif
