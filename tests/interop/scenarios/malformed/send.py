#!/usr/bin/python3
"""Sends each line of its input, a frame in hexadecimal, out of the device that it is told; prints a line when that is done."""
import socket
import sys

link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((sys.argv[1], 0))
for line in sys.stdin:
    link.send(bytes.fromhex(line))
    print("sent", flush=True)
