// Clients that misuse blobs: nothing that is published changes, nobody else waits.
#include <doctest/doctest.h>

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>

#include "process/blob_client.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::BlobClient;
using onced::testing::BlobEnd;
using onced::testing::Bystander;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::mebibyte;
using onced::testing::wait_until;

namespace {

// A page that nobody fills: whoever touches it, a system call of ours too, waits until it is let go.
class StuckPage {
 public:
  StuckPage() : faults_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC))) {
    if (faults_ < 0) return;
    uffdio_api api{};
    api.api = UFFD_API;
    page_ = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uffdio_register range{};
    range.range = {reinterpret_cast<std::uintptr_t>(page_), 4096};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    usable_ = page_ != MAP_FAILED && ::ioctl(faults_, UFFDIO_API, &api) == 0 && ::ioctl(faults_, UFFDIO_REGISTER, &range) == 0;
  }
  StuckPage(const StuckPage&) = delete;
  ~StuckPage() {
    if (faults_ >= 0) ::close(faults_);
    if (page_ != MAP_FAILED && page_ != nullptr) ::munmap(page_, 4096);
  }
  bool usable() const { return usable_; }
  const void* page() const { return page_; }
  // Until somebody waits for it.
  void wait_for_fault() const {
    uffd_msg message{};
    pollfd wait{faults_, POLLIN, 0};
    REQUIRE(::poll(&wait, 1, 60'000) == 1);
    REQUIRE(::read(faults_, &message, sizeof(message)) == static_cast<ssize_t>(sizeof(message)));
  }
  void let_go() const {
    uffdio_zeropage zero{};
    zero.range = {reinterpret_cast<std::uintptr_t>(page_), 4096};
    ::ioctl(faults_, UFFDIO_ZEROPAGE, &zero);
  }

 private:
  int faults_ = -1;
  void* page_ = MAP_FAILED;
  bool usable_ = false;
};

// All that might change a byte. The numbers of those that seemed to work, or got a new writable descriptor.
std::vector<int> attack(int descriptor, std::size_t bytes) {
  std::vector<int> worked;
  int number = 0;
  const auto attempt = [&](bool success) {
    ++number;
    if (success) worked.push_back(number);
  };
  const auto off = static_cast<off_t>(bytes);
  attempt(::pwrite(descriptor, "evil", 4, 0) > 0);                                                              // 1
  attempt(::ftruncate(descriptor, 0) == 0);                                                                     // 2
  attempt(::ftruncate(descriptor, 2 * off) == 0);                                                               // 3
  attempt(::fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);                   // 4
  attempt(::fallocate(descriptor, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0);                                         // 5
  attempt(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) != MAP_FAILED);             // 6
  void* const shared = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  attempt(shared != MAP_FAILED && ::mprotect(shared, bytes, PROT_READ | PROT_WRITE) == 0);                      // 7
  if (shared != MAP_FAILED) ::munmap(shared, bytes);
  void* const own = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  if (own != MAP_FAILED) {  // a copy of one's own: whoever reads the blob sees nothing of it
    std::memcpy(own, "evil", 4);
    ::msync(own, bytes, MS_SYNC);
    ::madvise(own, bytes, MADV_REMOVE);
    ::munmap(own, bytes);
  }
  attempt(::fcntl(descriptor, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);                                          // 8
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  if (const int again = ::open(path.c_str(), O_RDWR | O_CLOEXEC); again >= 0) {  // root may; the seals are the inode's
    attempt(::pwrite(again, "evil", 4, 0) > 0);                                                                 // 9
    attempt(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED);                // 10
    ::close(again);
  }
  if (const int truncated = ::open(path.c_str(), O_RDWR | O_TRUNC | O_CLOEXEC); truncated >= 0) {
    attempt(true);                                                                                              // 11 or 9
    ::close(truncated);
  }
  return worked;
}

}  // namespace

TEST_CASE("nothing changes a published byte, neither as this user nor as another") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  BlobClient reader(daemon.socket());
  const std::string key = key_bytes("attacked", 1);
  const std::string bytes(mebibyte, 'v');
  const BlobEnd kept = holder.reserve(bytes.size());  // the holder has its descriptor still
  REQUIRE(holder.put_filled(key, kept, bytes).stored);
  const BlobEnd fetched = reader.fetch(reader.get(key).parts.at(0).blob);
  for (const BlobEnd* end : {&kept, &fetched}) {
    // No seal forbids to fill holes: the bytes stay what they are, and the charge is for the whole size.
    ::fallocate(end->descriptor(), 0, 0, static_cast<off_t>(bytes.size()));
    struct stat status{};
    REQUIRE(::fstat(end->descriptor(), &status) == 0);
    CHECK(static_cast<std::uint64_t>(status.st_blocks) * 512 <= bytes.size());
    CHECK(attack(end->descriptor(), bytes.size()).empty());
    CHECK(fetched.read(bytes.size()) == bytes);
  }
  if (::geteuid() == 0) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      constexpr uid_t other = 54321;
      if (::setresgid(other, other, other) != 0 || ::setresuid(other, other, other) != 0) ::_exit(100);
      const std::string path = "/proc/self/fd/" + std::to_string(fetched.descriptor());
      for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
        if (::open(path.c_str(), flags) >= 0) ::_exit(101);  // mode 0: the descriptor is the permission
      }
      ::_exit(attack(fetched.descriptor(), bytes.size()).empty() ? 0 : 102);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  } else {
    MESSAGE("skipped for another user: needs root");
  }
  CHECK(fetched.read(bytes.size()) == bytes);
  CHECK(BlobClient(daemon.socket()).get(key).parts.at(0).length == bytes.size());
}

TEST_CASE("a wrong receipt ends the connection, and only that") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  for (const bool fetching : {false, true}) {
    BlobClient client(daemon.socket());
    const BlobEnd blob = client.reserve(4096);
    if (fetching) client.raw().request(900, Fetch{blob.number(), client.receipt() + 1});
    else client.raw().request(900, Reserve{4096, 0});
    const auto end = client.raw().receive_end();
    REQUIRE(end.has_value());
    CHECK(end->text.find("receipt") != std::string::npos);
  }
  wait_until([&] { return BlobClient(daemon.socket()).status("blobs") == 0; }, "their reservations to return");
  bystander.check();
}

TEST_CASE("clients that are owed a descriptor and never read keep nobody from theirs, and cannot be owed a second one") {
  DaemonProcess daemon;
  std::vector<onced::testing::RawClient> greedy;
  for (int i = 0; i < 200; ++i) {
    greedy.emplace_back(daemon.socket());
    greedy.back().hello();
    greedy.back().request(2, Reserve{mebibyte, 0});
    greedy.back().request(3, Reserve{mebibyte, 0});  // it cannot know the receipt of the first one
  }
  BlobClient client(daemon.socket());
  const std::string key = key_bytes("served", 1);
  const BlobEnd blob = client.reserve(4096);
  REQUIRE(client.put_filled(key, blob, "served").stored);
  CHECK(client.fetch(client.get(key).parts.at(0).blob).read(6) == "served");
  // All of the greedy ones are ended for their second request, and what they had reserved has come back.
  wait_until([&] { return client.status("blobs_reserved") == 0; }, "the reservations of the greedy ones to return");
  wait_until([&] { return client.status("blob_bytes") == 4096; }, "the memory to be closed");
}

TEST_CASE("a client that is stuck in a write() to its blob delays nobody, whatever becomes of the blob") {
  if (!StuckPage().usable()) {
    MESSAGE("skipped: no userfaultfd here");
    return;
  }
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  BlobClient witness(daemon.socket());
  for (const bool publishing : {false, true}) {
    CAPTURE(publishing);
    const StuckPage page;
    REQUIRE(page.usable());
    std::optional<BlobClient> holder(daemon.socket());
    const Lease lease = holder->acquire_lease(key_bytes("stuck", publishing ? 1 : 0));
    std::optional<BlobEnd> blob(holder->reserve(mebibyte));
    const int descriptor = ::dup(blob->descriptor());
    std::thread writer([&] { static_cast<void>(::pwrite(descriptor, page.page(), 4096, 0)); });
    page.wait_for_fault();  // it has the inode's lock now
    bystander.check();
    if (publishing) {
      const Reply answer = holder->publish(lease.token, BlobClient::parts_of(*blob));
      CHECK(std::holds_alternative<Refused>(answer));
    }
    bystander.check();
    blob.reset();
    holder.reset();  // it hangs up: the reservation is given back, the writer is in there still
    bystander.check();
    wait_until([&] { return witness.status("blobs") == 0; }, "the reservation to return");
    bystander.check();
    page.let_go();
    writer.join();
    ::close(descriptor);
  }
}

TEST_CASE("a client that forks while it fills cannot publish before the child has let go, and delays nobody") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  BlobClient holder(daemon.socket());
  const std::string key = key_bytes("forked", 1);
  const Lease lease = holder.acquire_lease(key);
  std::optional<BlobEnd> first(holder.reserve(mebibyte));
  const auto map = [](const BlobEnd& blob) {
    void* const mapped = ::mmap(nullptr, blob.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, blob.descriptor(), 0);
    REQUIRE(mapped != MAP_FAILED);
    return static_cast<char*>(mapped);
  };
  char* const memory = map(*first);
  std::memcpy(memory, "half", 4);
  const pid_t child = ::fork();  // with the mapping: no MADV_DONTFORK
  REQUIRE(child >= 0);
  if (child == 0) {
    for (;;) ::pause();
  }
  ::munmap(memory, first->bytes());
  CHECK(first->seal() == EBUSY);
  const Reply refused = holder.publish(lease.token, BlobClient::parts_of(*first));
  CHECK(std::holds_alternative<Refused>(refused));
  bystander.check();
  ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  const BlobEnd second = holder.reserve(mebibyte);
  second.fill_all('w');
  CHECK(second.seal() == 0);
  const Reply published = holder.publish(lease.token, BlobClient::parts_of(second));
  CHECK(std::holds_alternative<Published>(published));
  bystander.check();
}

TEST_CASE("a writable mapping that a client keeps is seen, and the publish refused") {
  DaemonProcess daemon;
  BlobClient holder(daemon.socket());
  const BlobEnd blob = holder.reserve(mebibyte);
  void* const mapped = ::mmap(nullptr, blob.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, blob.descriptor(), 0);
  REQUIRE(mapped != MAP_FAILED);
  CHECK(blob.seal() == EBUSY);
  const Lease lease = holder.acquire_lease(key_bytes("mapped", 1));
  CHECK(std::holds_alternative<Refused>(holder.publish(lease.token, BlobClient::parts_of(blob))));
  ::munmap(mapped, blob.bytes());
}
