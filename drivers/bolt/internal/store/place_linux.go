package store

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Kinds of file systems on which what this driver claims does not hold; the numbers are statfs(2)'s.
var doubtful = map[int64]string{
	0x6969:     "NFS: its locks may not hold between machines, and mapped files may show stale pages",
	0xff534d42: "CIFS: its locks may not hold between machines",
	0xfe534d42: "SMB: its locks may not hold between machines",
	0x65735546: "FUSE: whether its locks and syncs hold is up to that file system",
	0x01021994: "tmpfs: nothing survives a restart of the machine",
}

// notices are sentences for the operator about the place where the file lies.
func notices(path string) []string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &stat); err != nil {
		return nil
	}
	why, found := doubtful[int64(uint32(stat.Type))]
	if !found {
		return nil
	}
	return []string{fmt.Sprintf("%s lies on %s", path, why)}
}

// holder names the process that has the lock, where this process can see it.
func holder(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer locks.Close()
	// 1: FLOCK  ADVISORY  WRITE 4242 fe:01:131073 0 EOF
	inode := fmt.Sprintf(":%d", stat.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], inode) && fields[4] != "0" && fields[4] != "-1" {
			return fmt.Sprintf(" (process %s)", fields[4])
		}
	}
	return ""
}
