#include "ws_crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u

// Slicing by eight: table[k][b] is the CRC of byte b followed by k zero bytes.
static uint32_t table[8][256];

// The hardware loop runs three streams at once, because the instruction has a latency of three
// cycles and a throughput of one. A stream's CRC is carried over the bytes of the streams behind it
// by "append N zero bytes", a linear map kept as four tables of 256.
enum { LONG_STREAM = 4096, SHORT_STREAM = 256 };
static uint32_t skip_long[4][256];
static uint32_t skip_short[4][256];

static atomic_bool ready;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t append_zero_byte(uint32_t crc) { return table[0][crc & 0xff] ^ (crc >> 8); }

static void make_skip(uint32_t skip[4][256], size_t zeros) {
  uint32_t basis[32];
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = 1u << bit;
    for (size_t i = 0; i < zeros; i++) crc = append_zero_byte(crc);
    basis[bit] = crc;
  }
  for (int part = 0; part < 4; part++)
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t crc = 0;
      for (int bit = 0; bit < 8; bit++)
        if (byte >> bit & 1) crc ^= basis[part * 8 + bit];
      skip[part][byte] = crc;
    }
}

static void prepare(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    table[0][byte] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (uint32_t byte = 0; byte < 256; byte++)
      table[k][byte] = table[0][table[k - 1][byte] & 0xff] ^ (table[k - 1][byte] >> 8);
  make_skip(skip_long, LONG_STREAM);
  make_skip(skip_short, SHORT_STREAM);
  atomic_store_explicit(&ready, true, memory_order_release);
}

static inline void ensure_ready(void) {
  if (!atomic_load_explicit(&ready, memory_order_acquire)) pthread_once(&once, prepare);
}

static inline uint64_t load64(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

uint32_t ws_crc32c_portable(uint32_t crc, const void *data, size_t length) {
  ensure_ready();
  const uint8_t *p = data;
  crc = ~crc;
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t word = load64(p) ^ crc;
    crc = table[7][word & 0xff] ^ table[6][word >> 8 & 0xff] ^ table[5][word >> 16 & 0xff] ^
          table[4][word >> 24 & 0xff] ^ table[3][word >> 32 & 0xff] ^ table[2][word >> 40 & 0xff] ^
          table[1][word >> 48 & 0xff] ^ table[0][word >> 56];
  }
  for (; length; p++, length--) crc = table[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE __attribute__((target("sse4.2")))
#define CRC_BYTE(crc, byte) _mm_crc32_u8(crc, byte)
#define CRC_WORD(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
bool ws_crc32c_has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define HARDWARE __attribute__((target("crc")))
#define CRC_BYTE(crc, byte) __crc32cb(crc, byte)
#define CRC_WORD(crc, word) __crc32cd(crc, word)
bool ws_crc32c_has_hardware(void) { return getauxval(AT_HWCAP) & (1 << 7); }
#endif

#ifdef HARDWARE

static inline uint32_t skipped(const uint32_t skip[4][256], uint32_t crc) {
  return skip[0][crc & 0xff] ^ skip[1][crc >> 8 & 0xff] ^ skip[2][crc >> 16 & 0xff] ^
         skip[3][crc >> 24];
}

HARDWARE static inline uint32_t three_streams(
    uint32_t crc, const uint8_t *p, size_t stream, const uint32_t skip[4][256]) {
  uint32_t second = 0, third = 0;
  for (const uint8_t *end = p + stream; p < end; p += 8) {
    crc = CRC_WORD(crc, load64(p));
    second = CRC_WORD(second, load64(p + stream));
    third = CRC_WORD(third, load64(p + 2 * stream));
  }
  crc = skipped(skip, crc) ^ second;
  return skipped(skip, crc) ^ third;
}

HARDWARE uint32_t ws_crc32c_hardware(uint32_t crc, const void *data, size_t length) {
  ensure_ready();
  const uint8_t *p = data;
  crc = ~crc;
  for (; length >= 3 * LONG_STREAM; p += 3 * LONG_STREAM, length -= 3 * LONG_STREAM)
    crc = three_streams(crc, p, LONG_STREAM, skip_long);
  for (; length >= 3 * SHORT_STREAM; p += 3 * SHORT_STREAM, length -= 3 * SHORT_STREAM)
    crc = three_streams(crc, p, SHORT_STREAM, skip_short);
  for (; length >= 8; p += 8, length -= 8) crc = CRC_WORD(crc, load64(p));
  for (; length; p++, length--) crc = CRC_BYTE(crc, *p);
  return ~crc;
}

uint32_t ws_crc32c(uint32_t crc, const void *data, size_t length) {
  static atomic_int hardware;  // 0 not asked yet, 1 none, 2 the instruction, 3 wide multiplication
  int state = atomic_load_explicit(&hardware, memory_order_relaxed);
  if (state == 0) {
    state = ws_crc32c_has_wide() ? 3 : ws_crc32c_has_hardware() ? 2 : 1;
    atomic_store_explicit(&hardware, state, memory_order_relaxed);
  }
  if (state == 3) return ws_crc32c_wide(crc, data, length);
  return state == 2 ? ws_crc32c_hardware(crc, data, length)
                    : ws_crc32c_portable(crc, data, length);
}

#else

bool ws_crc32c_has_hardware(void) { return false; }
uint32_t ws_crc32c_hardware(uint32_t crc, const void *data, size_t length) {
  return ws_crc32c_portable(crc, data, length);
}
uint32_t ws_crc32c(uint32_t crc, const void *data, size_t length) {
  return ws_crc32c_portable(crc, data, length);
}

#endif
