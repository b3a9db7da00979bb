// One case per attack on the seals: what a process may try that has got the descriptor.
#include "memory/sealed_memory.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <functional>
#include <string>

using namespace onced;
using memory::FileDescriptor;
using memory::SealedMemory;
using Use = SealedMemory::Use;

namespace {

constexpr std::size_t size = 64 * 1024;
constexpr off_t file_size = static_cast<off_t>(size);

SealedMemory segment() {
  auto memory = SealedMemory::create("onced-test", size, Use::segment);
  REQUIRE(memory.ok());
  memory->bytes()[0] = std::byte{'x'};
  memory->bytes()[size - 1] = std::byte{'y'};
  return std::move(*memory);
}

bool intact(const SealedMemory& memory) {
  struct stat status {};
  return ::fstat(memory.descriptor(), &status) == 0 && status.st_size == file_size &&
         memory.bytes()[0] == std::byte{'x'} && memory.bytes()[size - 1] == std::byte{'y'};
}

// Runs `attack` in a child, as `nobody` if asked to: true when the child says that it failed as it should.
bool child_says(bool as_nobody, const std::function<bool()>& attack) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    constexpr unsigned nobody = 65534;
    if (as_nobody && (::setgroups(0, nullptr) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0)) ::_exit(2);
    ::_exit(attack() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Every attack as this uid in another process, and as another uid where we may become one.
void check_attack(const std::function<bool(int descriptor)>& fails) {
  const SealedMemory memory = segment();
  CHECK(fails(memory.descriptor()));
  CHECK(child_says(false, [&] { return fails(memory.descriptor()); }));
  if (::geteuid() == 0) {
    CHECK(child_says(true, [&] { return fails(memory.descriptor()); }));
  } else {
    MESSAGE("not root: the attack from another uid is not tried");
  }
  CHECK(intact(memory));
}

}  // namespace

TEST_CASE("the daemon goes on writing through its own mapping after the seals are set") {
  const SealedMemory memory = segment();
  void* const seen = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, memory.descriptor(), 0);
  REQUIRE(seen != MAP_FAILED);
  memory.bytes()[100] = std::byte{42};
  CHECK(static_cast<const std::byte*>(seen)[100] == std::byte{42});
  CHECK(::munmap(seen, size) == 0);
}

TEST_CASE("the seals are there, all of them") {
  const SealedMemory memory = segment();
  const int mask = SealedMemory::seals(Use::segment);
  CHECK((::fcntl(memory.descriptor(), F_GET_SEALS) & mask) == mask);
  CHECK((mask & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x0010)) == mask);
}

TEST_CASE("attack: write()") {
  check_attack([](int fd) { return ::lseek(fd, 0, SEEK_SET) == 0 && ::write(fd, "z", 1) == -1 && errno == EPERM; });
}
TEST_CASE("attack: pwrite()") {
  check_attack([](int fd) { return ::pwrite(fd, "z", 1, 0) == -1 && errno == EPERM; });
}
TEST_CASE("attack: shrinking, under readers that would die of SIGBUS") {
  check_attack([](int fd) { return ::ftruncate(fd, 0) == -1 && errno == EPERM; });
}
TEST_CASE("attack: growing") {
  check_attack([](int fd) { return ::ftruncate(fd, 2 * file_size) == -1 && errno == EPERM; });
}
TEST_CASE("attack: a shared writable mapping") {
  check_attack([](int fd) {
    return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM;
  });
}
TEST_CASE("attack: making a read-only mapping writable") {
  check_attack([](int fd) {
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return false;
    const bool refused = ::mprotect(at, size, PROT_READ | PROT_WRITE) == -1 && errno == EACCES;
    return ::munmap(at, size) == 0 && refused;
  });
}
TEST_CASE("attack: opening it again for writing through /proc") {
  check_attack([](int fd) {
    const FileDescriptor again(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR));
    if (!again) return errno == EACCES;  // its mode is 0; root may open it all the same, and gains nothing:
    return ::pwrite(again.get(), "z", 1, 0) == -1 && errno == EPERM && ::ftruncate(again.get(), 0) == -1 &&
           ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0) == MAP_FAILED;
  });
}
TEST_CASE("attack: punching a hole") {
  check_attack([](int fd) {
    return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1 && errno == EPERM;
  });
}
TEST_CASE("attack: adding a seal") {
  check_attack([](int fd) { return ::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM; });
}
TEST_CASE("attack: a private mapping is the attacker's own copy") {
  check_attack([](int fd) {
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return false;
    *static_cast<char*>(at) = 'z';
    return ::munmap(at, size) == 0;  // check_attack() looks whether the segment changed
  });
}

TEST_CASE("a pin page can be written by its client, but neither resized nor sealed") {
  const auto page = SealedMemory::create("onced-test-pins", size, Use::pin_page);
  REQUIRE(page.ok());
  const int fd = page->descriptor();
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(at != MAP_FAILED);
  *static_cast<char*>(at) = 'c';
  CHECK(page->bytes()[0] == std::byte{'c'});
  CHECK(::munmap(at, size) == 0);
  CHECK(::ftruncate(fd, 0) == -1);
  CHECK(::ftruncate(fd, 2 * file_size) == -1);
  CHECK(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == -1);
}

TEST_CASE("memory is sparse: a large segment uses nothing until it is touched") {
  const auto memory = SealedMemory::create("onced-test-large", std::size_t{1} << 34, Use::segment);
  REQUIRE(memory.ok());
  struct stat status {};
  REQUIRE(::fstat(memory->descriptor(), &status) == 0);
  CHECK(status.st_size == off_t{1} << 34);
  CHECK(status.st_blocks == 0);
  memory->bytes()[0] = std::byte{1};
  REQUIRE(::fstat(memory->descriptor(), &status) == 0);
  CHECK(status.st_blocks * 512 <= 2 * 1024 * 1024);
}

TEST_CASE("what the kernel refuses is an error with its reason") {
  const auto memory = SealedMemory::create("onced-test", std::size_t{1} << 62, Use::segment);
  REQUIRE(!memory.ok());
  CHECK(memory.error().text.find("onced-test") != std::string::npos);
}
