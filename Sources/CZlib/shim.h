#include <zlib.h>

// Swift sees no macros with arguments.
static inline int zlib_start_raw_inflate(z_stream *stream) { return inflateInit2(stream, -15); }
