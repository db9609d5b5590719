#!/bin/busybox sh
# The guest's first process: sets up a root, runs one command, and reports its status.
# ttyS0 is the console, ttyS1 the command's stdout, ttyS2 its stderr, and ttyS3 the
# status port. The host only trusts the line "status N OUT ERR" on ttyS3, where OUT and
# ERR are the numbers of bytes sent to ttyS1 and ttyS2, so that it notices lost output.

export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root BACKLOG_GUEST=1

mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/null >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mkdir -p /var/run /run/netns
hostname guest
ip link set lo up
[ -e /boot/config ] && mv /boot/config "/boot/config-$(uname -r)"

while read -r module; do
	insmod "/lib/modules/$module.ko" || echo "init: cannot load $module"
done </vm/modules

# The kernel finds the disk a moment after booting. Some kernels can mount ext2 only with
# the driver for ext4.
if [ -e /vm/disk ]; then
	mkdir /disk
	for round in $(seq 1000); do
		[ -b /dev/nvme0n1 ] && break
		usleep 10000
	done
	mount -t ext4 -o ro /dev/nvme0n1 /disk || echo "init: no disk"
fi

# Raw mode, so that the command's output arrives byte for byte.
for tty in ttyS1 ttyS2 ttyS3; do
	stty -F /dev/$tty raw -echo -echoe -echok 115200
done

# Use fifos, so that the command sees no terminal: tee passes data on without delay, and
# wc counts it. (/proc/tty/driver/serial, which also counts, is gone since 7.x.) All ends
# are open before anything can write.
mkfifo /run/stdout /run/stderr /run/count.1 /run/count.2
exec 7>/dev/ttyS1 8>/dev/ttyS2 9>/dev/ttyS3
wc -c </run/count.1 >/vm/sent.1 7>&- 8>&- 9>&- &
helpers="$!"
wc -c </run/count.2 >/vm/sent.2 7>&- 8>&- 9>&- &
helpers="$helpers $!"
tee /dev/ttyS1 </run/stdout >/run/count.1 7>&- 8>&- 9>&- &
helpers="$helpers $!"
tee /dev/ttyS2 </run/stderr >/run/count.2 7>&- 8>&- 9>&- &
helpers="$helpers $!"
echo started >&9
(
	cd /root
	exec </dev/null >/run/stdout 2>/run/stderr 7>&- 8>&- 9>&-
	exec sh /vm/command
)
status=$?

# Kill what the command has left running, which holds the fifos open. Do so twice, since
# a process may be forking.
for round in 1 2; do
	for process in /proc/[0-9]*; do
		case " 1 $helpers " in
		*" ${process#/proc/} "*) ;;
		*) kill -KILL "${process#/proc/}" 2>/dev/null ;;
		esac
	done
done
wait $helpers

# Changing a terminal's settings waits until its output was sent.
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo
echo "status $status $(cat /vm/sent.1) $(cat /vm/sent.2)" >&9
stty -F /dev/ttyS3 raw -echo
poweroff -f
