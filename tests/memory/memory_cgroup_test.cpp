#include "memory/memory_cgroup.hpp"

#include <doctest/doctest.h>

#include "support/temp_directory.hpp"

using namespace onced;
using testing::TempDirectory;
using testing::write_file;

namespace {
// A machine's /proc and /sys/fs/cgroup, in a directory of its own.
struct Machine {
  memory::CgroupFiles files() { return {(root / "cgroup").string(), (root / "mountinfo").string()}; }
  void limit(const std::string& group, const std::string& file, const std::string& content) {
    std::filesystem::create_directories(root.path() / "mount" / group);
    write_file(root.path() / "mount" / group / file, content);
  }
  std::string mount() { return (root.path() / "mount").string(); }
  void mount_v2(const std::string& mounted_group = "/") {
    write_file(root / "mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n30 23 0:26 " + mounted_group + " " + mount() +
                                       " rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void mount_v1() {
    write_file(root / "mountinfo", "31 23 0:27 / " + mount() + "/cpu rw - cgroup cgroup rw,cpu,cpuacct\n32 23 0:28 / " +
                                       mount() + " rw - cgroup cgroup rw,memory\n");
  }
  TempDirectory root;
};
}  // namespace

TEST_CASE("v2: the lowest limit on the way to the root counts") {
  Machine machine;
  machine.mount_v2();
  write_file(machine.root / "cgroup", "0::/system.slice/onced.service\n");
  machine.limit("system.slice/onced.service", "memory.max", "max\n");
  CHECK(!memory::memory_cgroup_limit(machine.files()).has_value());
  machine.limit("system.slice", "memory.max", "1000000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 1'000'000);
  machine.limit("system.slice/onced.service", "memory.max", "500000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 500'000);
  machine.limit("", "memory.max", "400000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 400'000);
}

TEST_CASE("v2: in a container the mount shows a part of the hierarchy") {
  Machine machine;
  machine.mount_v2("/docker/abc");
  write_file(machine.root / "cgroup", "0::/docker/abc/inner\n");
  machine.limit("", "memory.max", "700000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 700'000);
  machine.limit("inner", "memory.max", "600000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 600'000);
}

TEST_CASE("v2: a group whose name only begins like the mounted one is not below it") {
  Machine machine;
  machine.mount_v2("/foo");
  write_file(machine.root / "cgroup", "0::/foobar\n");
  machine.limit("bar", "memory.max", "500000\n");  // what cutting "/foo" off "/foobar" would look at
  machine.limit("foobar", "memory.max", "600000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 600'000);
}

TEST_CASE("v1: the memory controller's limit counts, and its number for none is none") {
  Machine machine;
  machine.mount_v1();
  write_file(machine.root / "cgroup", "5:cpu,cpuacct:/other\n4:memory:/a/b\n0::/\n");
  machine.limit("a/b", "memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(!memory::memory_cgroup_limit(machine.files()).has_value());
  machine.limit("a", "memory.limit_in_bytes", "2000000\n");
  CHECK(memory::memory_cgroup_limit(machine.files()) == 2'000'000);
}

TEST_CASE("no files, or nonsense in them, is no limit") {
  Machine machine;
  CHECK(!memory::memory_cgroup_limit(machine.files()).has_value());
  machine.mount_v2();
  write_file(machine.root / "cgroup", "no colons here\n0::\n");
  machine.limit("", "memory.max", "12monkeys\n");
  CHECK(!memory::memory_cgroup_limit(machine.files()).has_value());
}

TEST_CASE("memory beyond the limit is refused, and all numbers are named") {
  Machine machine;
  machine.mount_v2();
  write_file(machine.root / "cgroup", "0::/\n");
  machine.limit("", "memory.max", "1048576\n");
  CHECK(memory::check_memory_cgroup(1'000'000, 48'576, machine.files()).ok());
  const auto refused = memory::check_memory_cgroup(1'000'000, 48'577, machine.files());
  REQUIRE(!refused.ok());
  CHECK(refused.error().code == ErrorCode::limit_reached);
  CHECK(refused.error().text.find("1000000 + 48577 bytes") != std::string::npos);
  CHECK(refused.error().text.find("1048576") != std::string::npos);
}

TEST_CASE("what may be used is the machine's memory, or the limit when that is less") {
  Machine machine;
  machine.mount_v2();
  write_file(machine.root / "cgroup", "0::/\n");
  const std::uint64_t all = memory::memory_available_bytes(machine.files());
  CHECK(all > 0);
  machine.limit("", "memory.max", "1048576\n");
  CHECK(memory::memory_available_bytes(machine.files()) == 1'048'576);
  machine.limit("", "memory.max", std::to_string(all + 4096) + "\n");
  CHECK(memory::memory_available_bytes(machine.files()) == all);
}
