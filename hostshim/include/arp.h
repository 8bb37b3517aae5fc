/*
 * The number of devices that speak ARP, as config(1) writes it.
 */
#ifndef _RUMPLAB_ARP_H_
#define _RUMPLAB_ARP_H_

#define NARP	0

#endif
