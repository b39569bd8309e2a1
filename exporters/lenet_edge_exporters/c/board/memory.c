/* memcpy and memset for builds without a C library. */
#include <string.h>

void *memcpy(void *to, const void *from, size_t count)
{
    for (volatile size_t i = 0; i < count; i++)
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (volatile size_t i = 0; i < count; i++)
        ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}
