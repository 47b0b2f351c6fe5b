// CRC32C (Castagnoli), reflected polynomial 0x82F63B78, as in RFC 3720, appendix B.4.
#ifndef WS_CRC32C_H
#define WS_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Extends `crc`, the CRC32C of what came before (0 at the start), over `length` bytes, with the
// fastest implementation that this processor has.
uint32_t ws_crc32c(uint32_t crc, const void *data, size_t length);

// The implementations by name, so that tests can hold each against the published vectors.
uint32_t ws_crc32c_portable(uint32_t crc, const void *data, size_t length);
bool ws_crc32c_has_hardware(void);
// Must be called only where ws_crc32c_has_hardware() is true.
uint32_t ws_crc32c_hardware(uint32_t crc, const void *data, size_t length);
bool ws_crc32c_has_wide(void);
// Must be called only where ws_crc32c_has_wide() is true.
uint32_t ws_crc32c_wide(uint32_t crc, const void *data, size_t length);

#endif
