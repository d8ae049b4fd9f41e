/* The compiler and the platform, as lwIP wants them described. Little-endian Linux, GCC or Clang. */
#ifndef FEEDBENCH_LWIP_CC_H
#define FEEDBENCH_LWIP_CC_H

#include <endian.h>
#include <errno.h>
#include <stdint.h>

#define LWIP_ERRNO_STDINCLUDE 1
#define LWIP_NO_CTYPE_H 0
#define PACK_STRUCT_STRUCT __attribute__((packed))

#ifdef __cplusplus
extern "C" {
#endif
uint32_t feedbench_stack_random(void);
void feedbench_stack_broken(const char* what, const char* file, int line);
#ifdef __cplusplus
}
#endif
#define LWIP_RAND() feedbench_stack_random()
#define LWIP_PLATFORM_DIAG(x)
/* A broken invariant of the stack ends the process: going on would send wrong bytes. */
#define LWIP_PLATFORM_ASSERT(x) feedbench_stack_broken(x, __FILE__, __LINE__)

#endif
