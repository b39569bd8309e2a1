/* One image that the network is known to call class @ANSWER@: one of the known answers that it was exported with. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

#define IMAGE_CLASS @ANSWER@

/* @IMAGE@, row by row. */
static const uint8_t image[@PIXELS@] = {
@IMAGE_DATA@
};

#endif
