/* The part of the server API that is about channels: history, history_remove, presence,
 * presence_stats, channels; and info. */
#ifndef BELFRY_PROTOCOLS_API_CHANNELS_H
#define BELFRY_PROTOCOLS_API_CHANNELS_H

#include "protocols/api_call.h"
#include "protocols/api_params.h"

/* Each answers its call, now or later. */
void api_history(struct api_call *call, struct api_params *params);
void api_history_remove(struct api_call *call, struct api_params *params);
void api_presence(struct api_call *call, struct api_params *params);
void api_presence_stats(struct api_call *call, struct api_params *params);
void api_channels(struct api_call *call, struct api_params *params);
void api_info(struct api_call *call, struct api_params *params);

/* The member "channel"; false: it is missing, or of a wrong type. */
bool api_read_channel(struct api_params *params, struct str *ret_channel);
/* Answers with the hub's "no" to a call whose other members were good: in words about its channel.
 */
void api_refuse_channel(struct api_call *call, enum status status);

#endif
