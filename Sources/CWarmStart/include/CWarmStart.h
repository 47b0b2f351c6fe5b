// What WarmStart needs from C: CRC32C, locks that survive fork, memory that threads share, and the
// few system calls that Swift's Glibc does not import.
#ifndef CWARMSTART_H
#define CWARMSTART_H

#include "ws_crc32c.h"
#include "ws_fork.h"
#include "ws_shared.h"
#include "ws_system.h"

#endif
