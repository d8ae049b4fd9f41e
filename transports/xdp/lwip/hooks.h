/* Functions of the engine that lwIP calls by the macros of lwipopts.h. Included by lwIP's C files
   and by the engine. */
#ifndef FEEDBENCH_LWIP_HOOKS_H
#define FEEDBENCH_LWIP_HOOKS_H

#include <lwip/err.h>
#include <lwip/ip_addr.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;
struct tcp_hdr;

/* The first sequence number of a connection: a keyed hash of its four-tuple, plus a clock. */
u32_t feedbench_tcp_isn(const ip_addr_t* local_ip, u16_t local_port, const ip_addr_t* remote_ip,
                        u16_t remote_port);
/* A segment for a listener is about to be processed: a SYN that finds all half-open places taken gets
   that of the oldest. */
err_t feedbench_tcp_at_listener(struct tcp_pcb* listener, const struct tcp_hdr* header);
/* Makes the rest of a list of TCP options its end (0) from where an option runs over it. A maximum segment
   size counts in a SYN alone, and is at least 48 (as the kernel has it, tcp_min_snd_mss): a peer that asks for
   segments of one byte would make each message cost hundreds. The options lie in one piece: a frame is one. */
void feedbench_tcp_mend_options(struct tcp_hdr* header, u16_t bytes);

#ifdef __cplusplus
}
#endif

#endif
