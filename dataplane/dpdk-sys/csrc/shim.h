/* SPDX-License-Identifier: Apache-2.0
 *
 * What Rust sees of DPDK. Rust calls DPDK's exported functions directly where they take only scalars and
 * pointers; everything that is a C inline, or that reads or writes a DPDK structure, is declared here and
 * written in shim.c, so that the differences between DPDK releases end in this folder.
 */
#ifndef ESPLANADE_DPDK_SHIM_H
#define ESPLANADE_DPDK_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* The one structure that Rust reads in place, once per packet: where its fields lie. The same list is
 * compiled by cc into shim_layout(), and compared when the process starts. */
enum shim_mbuf_layout {
	SHIM_MBUF_SIZE = sizeof(struct rte_mbuf),
	SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	SHIM_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	SHIM_MBUF_PORT = offsetof(struct rte_mbuf, port),
	SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	SHIM_MBUF_RSS_HASH = offsetof(struct rte_mbuf, hash),
	SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	/* The last of the fields that applications and drivers share out: see shim_mbuf_reserve_mark(). */
	SHIM_MBUF_MARK = offsetof(struct rte_mbuf, dynfield1) + sizeof(((struct rte_mbuf *)0)->dynfield1) - sizeof(uint32_t),
};

/* Limits, and the values of macros that bindgen cannot evaluate. */
enum shim_constants {
	SHIM_RTE_VERSION = RTE_VERSION,
	SHIM_MAX_ETHPORTS = RTE_MAX_ETHPORTS,
	SHIM_MAX_LCORE = RTE_MAX_LCORE,
	SHIM_MAX_QUEUES_PER_PORT = RTE_MAX_QUEUES_PER_PORT,
	SHIM_NAME_SIZE = RTE_ETH_NAME_MAX_LEN,
	SHIM_POOL_NAME_SIZE = RTE_MEMPOOL_NAMESIZE,
	SHIM_RING_NAME_SIZE = RTE_RING_NAMESIZE,
	SHIM_POOL_MAX_CACHE = RTE_MEMPOOL_CACHE_MAX_SIZE,
	SHIM_HEADROOM = RTE_PKTMBUF_HEADROOM,
	SHIM_MAX_RETA = RTE_ETH_RSS_RETA_SIZE_512,
	SHIM_MAX_RSS_KEY = 64,
	SHIM_RING_SP_ENQ = RING_F_SP_ENQ,
	SHIM_RING_SC_DEQ = RING_F_SC_DEQ,
};

enum shim_mbuf_flags {
	SHIM_MBUF_F_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH,
	SHIM_MBUF_F_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK,
	SHIM_MBUF_F_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD,
	SHIM_MBUF_F_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	SHIM_MBUF_F_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK,
	SHIM_MBUF_F_RX_L4_CKSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE,
};

/* What a device hashes of a packet to choose its queue. */
struct shim_rss_fields {
	bool addresses; /* of every packet that nothing more specific is asked for */
	bool rest;	/* addresses, of fragments and of what has no ports */
	bool ports;	/* with the addresses, of whole packets of UDP, TCP and SCTP */
	bool spi;	/* of ESP; with the addresses if the driver says so */
	bool innermost; /* in the innermost header that the device knows */
};

/* What a device is and can do, as far as Esplanade asks. */
struct shim_device_info {
	const char *driver; /* lives as long as the port */
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	struct shim_rss_fields rss;
	uint32_t max_rx_packet;
	uint32_t speeds;
	uint16_t min_mtu;
	uint16_t max_mtu;
	uint16_t max_rx_queues;
	uint16_t max_tx_queues;
	uint16_t min_rx_descriptors;
	uint16_t max_rx_descriptors;
	uint16_t min_tx_descriptors;
	uint16_t max_tx_descriptors;
	uint16_t reta_size;
	uint8_t rss_key_size; /* bytes; 0: the device has no key of ours */
	bool ipv4_checksum;
	bool link_interrupt;
	bool removal_interrupt;
};

/* What rte_eth_dev_configure is asked for. */
struct shim_port_config {
	uint32_t mtu;
	uint16_t rx_queues;
	uint16_t tx_queues;
	struct shim_rss_fields rss; /* none: no RSS */
	const uint8_t *rss_key;	    /* NULL: the driver's */
	uint8_t rss_key_size;
	bool ipv4_checksum;
	bool rx_interrupts;
	bool link_interrupt;
};

struct shim_link {
	uint32_t mbit_per_s; /* UINT32_MAX: unknown */
	bool up;
	bool full_duplex;
	bool autonegotiated;
};

struct shim_stats {
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t rx_missed;
	uint64_t rx_errors;
	uint64_t tx_errors;
	uint64_t rx_no_mbuf;
};

/* Copies up to `capacity` values of the layout in the order of shim_mbuf_layout; returns how many exist. */
size_t shim_layout(uint32_t *values, size_t capacity);

int shim_errno(void);
unsigned int shim_lcore_id(void);
uint64_t shim_tsc(void);

/* pools and mbufs */
uint16_t shim_pool_data_room(struct rte_mempool *pool); /* with headroom */
struct rte_mbuf *shim_mbuf_alloc(struct rte_mempool *pool);
int shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void shim_mbuf_free(struct rte_mbuf *mbuf);
/* Makes the field at SHIM_MBUF_MARK ours alone, a uint32_t; negative with rte_errno when it is taken. */
int shim_mbuf_reserve_mark(void);
int shim_mbuf_linearize(struct rte_mbuf *mbuf);
/* Makes `tail` the last segment(s) of `head`; -EOVERFLOW when the chain would be too long. */
int shim_mbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail);

/* ports */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
int shim_device_info(uint16_t port, struct shim_device_info *info);
int shim_port_configure(uint16_t port, const struct shim_port_config *config);
int shim_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool);
int shim_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors);
/* Brings descriptor counts into what the device takes. */
int shim_adjust_descriptors(uint16_t port, uint16_t *rx, uint16_t *tx);
int shim_mac(uint16_t port, uint8_t mac[6]);
int shim_link(uint16_t port, struct shim_link *link);
int shim_stats(uint16_t port, struct shim_stats *stats);

/* The key that a started port hashes with, up to SHIM_MAX_RSS_KEY bytes, and its table of queues, up to
 * SHIM_MAX_RETA entries: the length, or a negative errno. */
int shim_rss_key(uint16_t port, uint8_t *key);
int shim_rss_queues(uint16_t port, uint16_t *queues);

/* Received packets that a rule is about. */
enum shim_flow_kind {
	SHIM_FLOW_ESP,	      /* with this SPI */
	SHIM_FLOW_ESP_IN_UDP, /* with this SPI, behind a UDP header (RFC 3948) */
	SHIM_FLOW_UDP,	      /* with these addresses and ports */
};

struct shim_flow_match {
	uint32_t kind;
	uint32_t spi;
	uint16_t remote_port;
	uint16_t local_port;
	bool ipv6;
	bool whole; /* no fragment of IPv4: the first one shows the header, too, and the others do not */
	uint8_t remote[16]; /* the first four for IPv4 */
	uint8_t local[16];
};

/* A rule of the port: what matches goes to `queue`, or where that is SHIM_FLOW_BY_SPI is spread over all by its
 * SPI. Only asks the driver if `dry`. Returns 0 or a negative errno; then `*reason` is what the driver says, or
 * NULL, and valid until the next call. */
#define SHIM_FLOW_BY_SPI 0xffff
int shim_flow_create(uint16_t port, const struct shim_flow_match *match, uint16_t queue, bool dry,
		     struct rte_flow **flow, const char **reason);
int shim_flow_destroy(uint16_t port, struct rte_flow *flow);

/* Waiting for packets: an epoll instance holding RX queues and one eventfd. `slot` is memory for one
 * struct rte_epoll_event, which must stay in place until the eventfd is removed. */
size_t shim_epoll_event_size(void);
int shim_epoll_add_fd(int epoll, int fd, void *slot);
int shim_epoll_remove_fd(int epoll, int fd, void *slot);
int shim_epoll_add_rx_queue(int epoll, uint16_t port, uint16_t queue);
int shim_epoll_remove_rx_queue(int epoll, uint16_t port, uint16_t queue);
/* Returns the number of events, 0 when `timeout_ms` passed or a signal arrived, or a negative errno. */
int shim_epoll_wait(int epoll, int timeout_ms);

/* rings behind net_ring ports: one producer, one consumer each */
unsigned int shim_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **mbufs, unsigned int count);
unsigned int shim_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **mbufs, unsigned int count);
unsigned int shim_ring_count(const struct rte_ring *ring);

/* The log: a stream whose every line is given to `write`, never closed. NULL when it cannot be made. */
typedef void (*shim_log_write)(const char *text, size_t length);
FILE *shim_log_stream(shim_log_write write);

#endif
