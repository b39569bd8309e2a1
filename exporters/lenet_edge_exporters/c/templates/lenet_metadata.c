/* What the network says of itself, as JSON: for hosts that load it as a shared library. Firmware leaves this file out. */
#include <stdint.h>

const char *@NAME@_metadata(void);

@METADATA@

const char *@NAME@_metadata(void)
{
    return (const char *)metadata;
}
