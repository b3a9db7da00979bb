#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "builder_state.hpp"
#include "deadline.hpp"
#include "fork_lock.hpp"

namespace onced::client_detail {

namespace {

constexpr int reserved_seals = F_SEAL_SHRINK | F_SEAL_GROW;
// How long sealing is tried while a write() or a page that the kernel still holds is in its way.
constexpr std::chrono::milliseconds seal_patience{1000};

}  // namespace

Result<Reservation> Reservation::make(Attachment& attachment, std::uint64_t bytes, Content content, std::string_view key) {
  auto memory = attachment.reserve(bytes, content == Content::ready, key);
  if (!memory) return memory.error();
  Reservation reservation(AttachmentRef(&attachment), std::move(*memory));
  auto sealed = check_sealed(reservation.memory_, "reserved memory", reserved_seals, bytes);
  if (!sealed) return sealed.error();
  return reservation;
}

Reservation::Reservation(AttachmentRef attachment, Channel::BlobMemory memory)
    : attachment_(std::move(attachment)), blob_(memory.blob), bytes_(memory.bytes), memory_(std::move(memory.descriptor)) {}

Reservation::~Reservation() {
  if (!attachment_) return;
  unmap();
  if (blob_.id != 0 && !blob_.named && attachment_->process == Process::current()) attachment_->channel.release_blobs({blob_.id});
}

void Reservation::unmap() {
  if (attachment_->process != Process::current()) filling_.abandon();  // it is not here, and something else may be
  filling_ = Mapping();
}

Result<std::span<std::byte>> Reservation::map() {
  // A child's mapping would keep the memory from being sealed.
  const auto unforked = hold_off_forks();
  auto mapping = client_detail::map(memory_, "reserved memory", bytes_, PROT_READ | PROT_WRITE, MAP_SHARED);
  if (!mapping) return mapping.error();
  madvise(mapping->address(), mapping->bytes(), MADV_DONTFORK);
  filling_ = std::move(*mapping);
  return filling_.writable();
}

Result<void> Reservation::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(memory_.number(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      return Error{ErrorCode::out_of_memory, "cannot write " + std::to_string(bytes.size()) + " bytes to shared memory: " + std::strerror(errno)};
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<void> Reservation::seal() {
  if (blob_.sealed) return {};
  unmap();
  const Deadline until = Clock::now() + seal_patience;
  auto pause = std::chrono::microseconds(50);
  while (fcntl(memory_.number(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    if (errno != EBUSY || Clock::now() >= until) {
      return Error{ErrorCode::limit_reached, "cannot seal what is to be published: " + std::string(std::strerror(errno)) +
                                                 " (somebody still has it mapped for writing, or is writing to it)"};
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(10'000));
  }
  blob_.sealed = true;
  return {};
}

Result<PrivateMemory> Reservation::private_view() const {
  auto mapping = client_detail::map(memory_, "reserved memory", bytes_, PROT_READ, MAP_PRIVATE);
  if (!mapping) return mapping.error();
  return PrivateMemory(std::move(*mapping));
}

}  // namespace onced::client_detail
