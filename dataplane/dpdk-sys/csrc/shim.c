/* SPDX-License-Identifier: Apache-2.0
 *
 * Out-of-line forms of DPDK's inlines, and every reading of a DPDK structure but the mbuf's fields.
 * RTE_VERSION decides here, and nowhere else, between releases (22.11 on Debian 12, 24.11 on Debian 13).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fopencookie */
#endif
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_epoll.h>
#include <rte_interrupts.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Rust reads mbufs with these widths. */
static_assert(sizeof(((struct rte_mbuf *)0)->buf_addr) == 8, "buf_addr");
static_assert(sizeof(((struct rte_mbuf *)0)->data_off) == 2, "data_off");
static_assert(sizeof(((struct rte_mbuf *)0)->refcnt) == 2, "refcnt");
static_assert(sizeof(((struct rte_mbuf *)0)->nb_segs) == 2, "nb_segs");
static_assert(sizeof(((struct rte_mbuf *)0)->port) == 2, "port");
static_assert(sizeof(((struct rte_mbuf *)0)->ol_flags) == 8, "ol_flags");
static_assert(sizeof(((struct rte_mbuf *)0)->pkt_len) == 4, "pkt_len");
static_assert(sizeof(((struct rte_mbuf *)0)->data_len) == 2, "data_len");
static_assert(sizeof(((struct rte_mbuf *)0)->hash.rss) == 4, "hash.rss");
static_assert(sizeof(((struct rte_mbuf *)0)->buf_len) == 2, "buf_len");

size_t shim_layout(uint32_t *values, size_t capacity)
{
	static const uint32_t layout[] = {
		SHIM_MBUF_SIZE,	    SHIM_MBUF_BUF_ADDR, SHIM_MBUF_DATA_OFF, SHIM_MBUF_REFCNT,
		SHIM_MBUF_NB_SEGS,  SHIM_MBUF_PORT,	SHIM_MBUF_OL_FLAGS, SHIM_MBUF_PKT_LEN,
		SHIM_MBUF_DATA_LEN, SHIM_MBUF_RSS_HASH, SHIM_MBUF_BUF_LEN,
		SHIM_MBUF_MARK,
	};
	memcpy(values, layout, RTE_MIN(capacity, COUNT_OF(layout)) * sizeof(layout[0]));
	return COUNT_OF(layout);
}

int shim_errno(void) { return rte_errno; }

unsigned int shim_lcore_id(void) { return rte_lcore_id(); }

uint64_t shim_tsc(void) { return rte_rdtsc(); }

uint16_t shim_pool_data_room(struct rte_mempool *pool) { return rte_pktmbuf_data_room_size(pool); }

struct rte_mbuf *shim_mbuf_alloc(struct rte_mempool *pool) { return rte_pktmbuf_alloc(pool); }

int shim_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void shim_mbuf_free(struct rte_mbuf *mbuf) { rte_pktmbuf_free(mbuf); }

int shim_mbuf_reserve_mark(void)
{
	static const struct rte_mbuf_dynfield mark = {
		.name = "esplanade_mark",
		.size = sizeof(uint32_t),
		.align = sizeof(uint32_t),
	};
	return rte_mbuf_dynfield_register_offset(&mark, SHIM_MBUF_MARK);
}

int shim_mbuf_linearize(struct rte_mbuf *mbuf) { return rte_pktmbuf_linearize(mbuf); }

int shim_mbuf_chain(struct rte_mbuf *head, struct rte_mbuf *tail) { return rte_pktmbuf_chain(head, tail); }

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

/* What the fields are in DPDK's words. */
#define RSS_ADDRESSES (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_IPV6_EX)
#define RSS_REST                                                                                             \
	(RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |                    \
	 RTE_ETH_RSS_NONFRAG_IPV6_OTHER)
#define RSS_PORTS (RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_SCTP)

static struct shim_rss_fields fields_of(uint64_t types)
{
	return (struct shim_rss_fields){
		.addresses = types & RTE_ETH_RSS_IPV4,
		.rest = types & RSS_REST,
		.ports = types & RSS_PORTS,
		.spi = types & RTE_ETH_RSS_ESP,
		.innermost = (types & RTE_ETH_RSS_LEVEL_INNERMOST) != 0,
	};
}

/* As types, of those that the device offers. */
static uint64_t types_of(struct shim_rss_fields fields, uint64_t offered)
{
	uint64_t types = (fields.addresses ? RSS_ADDRESSES : 0) | (fields.rest ? RSS_REST : 0) |
			 (fields.ports ? RSS_PORTS : 0) | (fields.spi ? RTE_ETH_RSS_ESP : 0);
	types &= offered;
	if (types != 0 && fields.innermost)
		types |= RTE_ETH_RSS_LEVEL_INNERMOST & offered;
	return types;
}

int shim_device_info(uint16_t port, struct shim_device_info *info)
{
	struct rte_eth_dev_info dev;
	int status = rte_eth_dev_info_get(port, &dev);
	if (status != 0)
		return status;
	*info = (struct shim_device_info){
		.driver = dev.driver_name,
		.rx_offloads = dev.rx_offload_capa,
		.tx_offloads = dev.tx_offload_capa,
		.rss = fields_of(dev.flow_type_rss_offloads),
		.ipv4_checksum = dev.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM,
		.max_rx_packet = dev.max_rx_pktlen,
		.speeds = dev.speed_capa,
		.min_mtu = dev.min_mtu,
		.max_mtu = dev.max_mtu,
		.max_rx_queues = dev.max_rx_queues,
		.max_tx_queues = dev.max_tx_queues,
		.min_rx_descriptors = dev.rx_desc_lim.nb_min,
		.max_rx_descriptors = dev.rx_desc_lim.nb_max,
		.min_tx_descriptors = dev.tx_desc_lim.nb_min,
		.max_tx_descriptors = dev.tx_desc_lim.nb_max,
		.reta_size = dev.reta_size,
		.rss_key_size = dev.hash_key_size,
		.link_interrupt = (*dev.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0,
		.removal_interrupt = (*dev.dev_flags & RTE_ETH_DEV_INTR_RMV) != 0,
	};
	return 0;
}

int shim_port_configure(uint16_t port, const struct shim_port_config *config)
{
	struct rte_eth_dev_info dev;
	int status = rte_eth_dev_info_get(port, &dev);
	if (status != 0)
		return status;

	struct rte_eth_conf conf;
	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = config->mtu;
	conf.intr_conf.rxq = config->rx_interrupts;
	conf.intr_conf.lsc = config->link_interrupt;
	uint64_t rss_types = types_of(config->rss, dev.flow_type_rss_offloads);
	if (config->rx_queues > 1 && rss_types != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = rss_types;
		conf.rx_adv_conf.rss_conf.rss_key = (uint8_t *)(uintptr_t)config->rss_key; /* copied */
		conf.rx_adv_conf.rss_conf.rss_key_len = config->rss_key_size;
		conf.rxmode.offloads |= dev.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
	}
	if (config->ipv4_checksum)
		conf.rxmode.offloads |= dev.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	return rte_eth_dev_configure(port, config->rx_queues, config->tx_queues, &conf);
}

static unsigned int socket_of(uint16_t port)
{
	int socket = rte_eth_dev_socket_id(port);
	return socket < 0 ? (unsigned int)SOCKET_ID_ANY : (unsigned int)socket;
}

int shim_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool)
{
	return rte_eth_rx_queue_setup(port, queue, descriptors, socket_of(port), NULL, pool);
}

int shim_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors)
{
	return rte_eth_tx_queue_setup(port, queue, descriptors, socket_of(port), NULL);
}

int shim_adjust_descriptors(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, rx, tx);
}

int shim_mac(uint16_t port, uint8_t mac[6])
{
	struct rte_ether_addr address;
	int status = rte_eth_macaddr_get(port, &address);
	if (status == 0)
		memcpy(mac, address.addr_bytes, 6);
	return status;
}

int shim_link(uint16_t port, struct shim_link *link)
{
	struct rte_eth_link state;
	int status = rte_eth_link_get_nowait(port, &state);
	if (status != 0)
		return status;
	*link = (struct shim_link){
		.mbit_per_s = state.link_speed,
		.up = state.link_status == RTE_ETH_LINK_UP,
		.full_duplex = state.link_duplex == RTE_ETH_LINK_FULL_DUPLEX,
		.autonegotiated = state.link_autoneg == RTE_ETH_LINK_AUTONEG,
	};
	return 0;
}

int shim_stats(uint16_t port, struct shim_stats *stats)
{
	struct rte_eth_stats counted;
	int status = rte_eth_stats_get(port, &counted);
	if (status != 0)
		return status;
	*stats = (struct shim_stats){
		.rx_packets = counted.ipackets,
		.tx_packets = counted.opackets,
		.rx_bytes = counted.ibytes,
		.tx_bytes = counted.obytes,
		.rx_missed = counted.imissed,
		.rx_errors = counted.ierrors,
		.tx_errors = counted.oerrors,
		.rx_no_mbuf = counted.rx_nombuf,
	};
	return 0;
}

int shim_rss_key(uint16_t port, uint8_t *key)
{
	struct rte_eth_dev_info dev;
	int status = rte_eth_dev_info_get(port, &dev);
	if (status != 0)
		return status;
	if (dev.hash_key_size == 0 || dev.hash_key_size > SHIM_MAX_RSS_KEY)
		return -ENOTSUP;
	struct rte_eth_rss_conf conf = { .rss_key = key, .rss_key_len = dev.hash_key_size };
	status = rte_eth_dev_rss_hash_conf_get(port, &conf);
	return status != 0 ? status : dev.hash_key_size;
}

int shim_rss_queues(uint16_t port, uint16_t *queues)
{
	struct rte_eth_dev_info dev;
	int status = rte_eth_dev_info_get(port, &dev);
	if (status != 0)
		return status;
	if (dev.reta_size == 0 || dev.reta_size > SHIM_MAX_RETA)
		return -ENOTSUP;
	struct rte_eth_rss_reta_entry64 groups[SHIM_MAX_RETA / RTE_ETH_RETA_GROUP_SIZE];
	memset(groups, 0, sizeof(groups));
	for (unsigned int i = 0; i < COUNT_OF(groups); i++)
		groups[i].mask = UINT64_MAX;
	status = rte_eth_dev_rss_reta_query(port, groups, dev.reta_size);
	if (status != 0)
		return status;
	for (unsigned int i = 0; i < dev.reta_size; i++)
		queues[i] = groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return dev.reta_size;
}

/* The headers of a rule, from Ethernet on. `spec` and `mask` are memory that the items refer to. */
struct flow_headers {
	struct rte_flow_item items[5];
	union {
		struct rte_flow_item_ipv4 v4;
		struct rte_flow_item_ipv6 v6;
	} ip, ip_mask;
	struct rte_flow_item_udp udp, udp_mask;
	struct rte_flow_item_esp esp, esp_mask;
};

static void match_addresses(struct flow_headers *headers, const struct shim_flow_match *match)
{
	if (match->ipv6) {
		memcpy(&headers->ip.v6.hdr.src_addr, match->remote, 16);
		memcpy(&headers->ip.v6.hdr.dst_addr, match->local, 16);
		memset(&headers->ip_mask.v6.hdr.src_addr, 0xff, 16);
		memset(&headers->ip_mask.v6.hdr.dst_addr, 0xff, 16);
	} else {
		memcpy(&headers->ip.v4.hdr.src_addr, match->remote, 4);
		memcpy(&headers->ip.v4.hdr.dst_addr, match->local, 4);
		headers->ip_mask.v4.hdr.src_addr = UINT32_MAX;
		headers->ip_mask.v4.hdr.dst_addr = UINT32_MAX;
	}
}

/* An item without spec matches any header of its kind: drivers refuse masks of zeros in various ways. */
static void lay_out(struct flow_headers *headers, const struct shim_flow_match *match)
{
	memset(headers, 0, sizeof(*headers));
	const bool by_addresses = match->kind == SHIM_FLOW_UDP, whole = match->whole && !match->ipv6;
	struct rte_flow_item *item = headers->items;
	(item++)->type = RTE_FLOW_ITEM_TYPE_ETH;

	item->type = match->ipv6 ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4;
	if (by_addresses)
		match_addresses(headers, match);
	if (whole)
		headers->ip_mask.v4.hdr.fragment_offset =
			RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
	if (by_addresses || whole) {
		item->spec = &headers->ip;
		item->mask = &headers->ip_mask;
	}
	item++;

	if (match->kind != SHIM_FLOW_ESP) {
		item->type = RTE_FLOW_ITEM_TYPE_UDP;
		if (by_addresses) {
			headers->udp.hdr.src_port = rte_cpu_to_be_16(match->remote_port);
			headers->udp.hdr.dst_port = rte_cpu_to_be_16(match->local_port);
			headers->udp_mask.hdr.src_port = UINT16_MAX;
			headers->udp_mask.hdr.dst_port = UINT16_MAX;
			item->spec = &headers->udp;
			item->mask = &headers->udp_mask;
		}
		item++;
	}
	if (match->kind != SHIM_FLOW_UDP) {
		item->type = RTE_FLOW_ITEM_TYPE_ESP;
		if (match->spi != 0) {
			headers->esp.hdr.spi = rte_cpu_to_be_32(match->spi);
			headers->esp_mask.hdr.spi = UINT32_MAX;
			item->spec = &headers->esp;
			item->mask = &headers->esp_mask;
		}
		item++;
	}
	item->type = RTE_FLOW_ITEM_TYPE_END;
}

int shim_flow_create(uint16_t port, const struct shim_flow_match *match, uint16_t queue, bool dry,
		     struct rte_flow **flow, const char **reason)
{
	struct flow_headers headers;
	lay_out(&headers, match);
	const struct rte_flow_attr ingress = { .ingress = 1 };
	const struct rte_flow_action_queue to_queue = { .index = queue };
	const struct rte_flow_action_rss by_spi = { .types = RTE_ETH_RSS_ESP };
	const bool spread = queue == SHIM_FLOW_BY_SPI;
	const struct rte_flow_action actions[] = {
		{ .type = spread ? RTE_FLOW_ACTION_TYPE_RSS : RTE_FLOW_ACTION_TYPE_QUEUE,
		  .conf = spread ? (const void *)&by_spi : &to_queue },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct rte_flow_error error = { .message = NULL };
	int status = 0;
	*flow = NULL;
	if (dry)
		status = rte_flow_validate(port, &ingress, headers.items, actions, &error);
	else if ((*flow = rte_flow_create(port, &ingress, headers.items, actions, &error)) == NULL)
		status = rte_errno != 0 ? -rte_errno : -EIO;
	*reason = status != 0 ? error.message : NULL;
	return status;
}

int shim_flow_destroy(uint16_t port, struct rte_flow *flow) { return rte_flow_destroy(port, flow, NULL); }

size_t shim_epoll_event_size(void) { return sizeof(struct rte_epoll_event); }

int shim_epoll_add_fd(int epoll, int fd, void *slot)
{
	struct rte_epoll_event *event = slot;
	memset(event, 0, sizeof(*event));
	event->epdata.event = EPOLLIN | EPOLLET;
	return rte_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event);
}

int shim_epoll_remove_fd(int epoll, int fd, void *slot)
{
	return rte_epoll_ctl(epoll, EPOLL_CTL_DEL, fd, slot);
}

int shim_epoll_add_rx_queue(int epoll, uint16_t port, uint16_t queue)
{
	return rte_eth_dev_rx_intr_ctl_q(port, queue, epoll, RTE_INTR_EVENT_ADD, NULL);
}

int shim_epoll_remove_rx_queue(int epoll, uint16_t port, uint16_t queue)
{
	return rte_eth_dev_rx_intr_ctl_q(port, queue, epoll, RTE_INTR_EVENT_DEL, NULL);
}

int shim_epoll_wait(int epoll, int timeout_ms)
{
	struct rte_epoll_event events[16];
	int count = rte_epoll_wait_interruptible(epoll, events, COUNT_OF(events), timeout_ms);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	return count;
}

unsigned int shim_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_ring_enqueue_burst(ring, (void *const *)mbufs, count, NULL);
}

unsigned int shim_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_ring_dequeue_burst(ring, (void **)mbufs, count, NULL);
}

unsigned int shim_ring_count(const struct rte_ring *ring) { return rte_ring_count(ring); }

static ssize_t log_write(void *cookie, const char *text, size_t length)
{
	(*(shim_log_write *)cookie)(text, length);
	return (ssize_t)length;
}

FILE *shim_log_stream(shim_log_write write)
{
	static shim_log_write target; /* set once: the process has one log */
	target = write;
	return fopencookie(&target, "w", (cookie_io_functions_t){ .write = log_write });
}
