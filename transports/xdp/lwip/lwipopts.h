/* How feedbench builds lwIP: one thread, no operating system layer, TCP over IPv4 over Ethernet and
   nothing else. lwIP's opt.h explains each name; here stands why a value was chosen. */
#ifndef FEEDBENCH_LWIPOPTS_H
#define FEEDBENCH_LWIPOPTS_H

#include <stddef.h>
#include <stdint.h>

/* Called from one polling thread: no locks, no threads, no sockets. */
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_NETIF_API 0

/* What is spoken. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ETHERNET 1
#define LWIP_ICMP 1
#define LWIP_TCP 1
#define LWIP_UDP 0
#define LWIP_RAW 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_IGMP 0
#define IP_FORWARD 0
#define IP_REASSEMBLY 0 /* TCP sends no fragments; those of others are an attack surface */
#define IP_FRAG 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_NETIF_LOOPBACK 0 /* the engine has its own, which is bounded */
#define LWIP_STATS 0
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1 /* the C library's */

/* All memory comes from the engine's pools (stack_memory.hpp), which have one written bound. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 16
#ifdef __cplusplus
extern "C" {
#endif
void* feedbench_stack_malloc(size_t bytes);
void* feedbench_stack_calloc(size_t count, size_t bytes);
void feedbench_stack_free(void* memory);
uint16_t feedbench_checksum(const void* data, int bytes);
uint16_t feedbench_checksum_copy(void* to, const void* from, uint16_t bytes);
#ifdef __cplusplus
}
#endif
#define mem_clib_malloc feedbench_stack_malloc
#define mem_clib_calloc feedbench_stack_calloc
#define mem_clib_free feedbench_stack_free
#define LWIP_SUPPORT_CUSTOM_PBUF 1 /* received frames stay where the device put them */

/* ARP: answers, asks again before an entry ages, keeps what waits for an answer. */
#define ARP_TABLE_SIZE 127
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 64
#define ETHARP_TABLE_MATCH_NETIF 0
#define LWIP_NETIF_HWADDRHINT 1 /* a connection remembers its line of the table */

/* TCP. Sizes are the most a connection may have; the engine gives each less (XdpOptions). */
#define TCP_MSS 1460
#define TCP_WND (1024 * 1024)
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5
#define TCP_SND_BUF (4 * 1024 * 1024)
#define TCP_SND_QUEUELEN 16384
#define TCP_SNDLOWAT (2 * TCP_MSS)
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 1024 /* tiny segments out of order cost a walk each */
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_KEEPALIVE 1
#define TCP_LISTEN_BACKLOG 1
#define TCP_DEFAULT_LISTEN_BACKLOG 255
#define SO_REUSE 1
#define TCP_MSL 1000UL        /* a closed connection stays two seconds: the network is near */
#define TCP_TMR_INTERVAL 20   /* milliseconds; retransmission counts in twice that */
#define LWIP_TCP_RTO_TIME 1000 /* before the first measurement: RFC 6298 */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)(10U * (mss))) /* RFC 6928 */
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 6

/* Checksums are made while data is copied in. Whether received ones are verified, the device says. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY 1
#define LWIP_CHKSUM feedbench_checksum
#define LWIP_CHKSUM_COPY_ALGORITHM 0
#define LWIP_CHKSUM_COPY(dst, src, len) feedbench_checksum_copy(dst, src, len)

/* Initial sequence numbers that cannot be guessed (RFC 6528); half-open connections make room. */
#define LWIP_HOOK_FILENAME "transports/xdp/lwip/hooks.h"
#define LWIP_HOOK_TCP_ISN feedbench_tcp_isn
/* What lwIP 2.1.3 would get wrong is kept from it: options that run over their end (it reads a byte
   behind them), a maximum segment size of a few bytes or in the middle of a connection, and segments
   half of all sequence numbers away (its comparison turns over there; it
   takes one of a single byte for the next, or stops at an assertion). */
#define FEEDBENCH_HALF_AWAY(pcb, hdr) \
  ((pcb)->state >= ESTABLISHED && (u32_t)((hdr)->seqno - (pcb)->rcv_nxt - 0x7FFF0000U) < 0x20000U)
#define LWIP_HOOK_TCP_INPACKET_PCB(pcb, hdr, optlen, opt1len, opt2, p) \
  ((optlen) != 0 ? feedbench_tcp_mend_options((hdr), (optlen)) : (void)0, \
   (pcb)->state == LISTEN              ? feedbench_tcp_at_listener(pcb, hdr) \
   : FEEDBENCH_HALF_AWAY((pcb), (hdr)) ? ERR_VAL \
                                       : ERR_OK)

#endif
