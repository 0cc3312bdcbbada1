/* Several calls in one request: POST /api/batch, and the stream of calls of POST /api. */
#ifndef BELFRY_PROTOCOLS_API_BATCH_H
#define BELFRY_PROTOCOLS_API_BATCH_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

/* Answers {"replies":[...]}, in the order of the commands. */
void api_batch(struct api_call *call, struct api_params *params);
/* The request's body is not checked yet. Answers a line for each call. */
void api_answer_lines(struct api_call *call);

#endif
