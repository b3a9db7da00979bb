#include "memory/sealed_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <cstring>
#include <string>

#include "memory/memfd.hpp"

// Since Linux 5.1; older headers do not have it.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace onced::memory {

namespace interprocess = boost::interprocess;

namespace {

// What mapped_region wants of something that it maps: any descriptor will do.
class Mappable {
 public:
  explicit Mappable(int descriptor) : descriptor_(descriptor) {}
  interprocess::mapping_handle_t get_mapping_handle() const {
    return interprocess::ipcdetail::mapping_handle_from_file_handle(descriptor_);
  }

 private:
  int descriptor_;
};

Error refused(const char* name, const char* step, int reason) {
  return {ErrorCode::unavailable,
          std::string("shared memory \"") + name + "\": " + step + " failed: " + std::strerror(reason)};
}

}  // namespace

SealedMemory::SealedMemory(FileDescriptor descriptor, std::unique_ptr<interprocess::mapped_region> mapping)
    : descriptor_(std::move(descriptor)), mapping_(std::move(mapping)) {}
SealedMemory::SealedMemory(SealedMemory&&) noexcept = default;
SealedMemory& SealedMemory::operator=(SealedMemory&&) noexcept = default;
SealedMemory::~SealedMemory() = default;

int SealedMemory::seals(Use use) {
  const int fixed_size = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  return use == Use::segment ? fixed_size | F_SEAL_FUTURE_WRITE : fixed_size;
}

Result<SealedMemory> SealedMemory::create(const char* name, std::size_t bytes, Use use) {
  constexpr std::size_t page_bytes = 4096;
  bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  FileDescriptor descriptor = create_memfd(name);
  if (!descriptor) return refused(name, "memfd_create", errno);
  if (::ftruncate(descriptor.get(), static_cast<off_t>(bytes)) != 0) return refused(name, "ftruncate", errno);
  // Nobody needs to open it by name (/proc/<pid>/fd): the descriptor is the permission.
  if (::fchmod(descriptor.get(), 0) != 0) return refused(name, "fchmod", errno);
  std::unique_ptr<interprocess::mapped_region> mapping;
  try {
    mapping =
        std::make_unique<interprocess::mapped_region>(Mappable(descriptor.get()), interprocess::read_write, 0, bytes);
  } catch (const interprocess::interprocess_exception& exception) {
    return refused(name, "mmap", exception.get_native_error());
  }
  // Values, and who reads which, are for this machine's memory: not for a core file that travels to a bug tracker.
  if (::madvise(mapping->get_address(), bytes, MADV_DONTDUMP) != 0) return refused(name, "madvise", errno);
  // After the mapping: FUTURE_WRITE leaves alone what is mapped already.
  if (::fcntl(descriptor.get(), F_ADD_SEALS, seals(use)) != 0) return refused(name, "sealing", errno);
  return SealedMemory(std::move(descriptor), std::move(mapping));
}

std::span<std::byte> SealedMemory::bytes() const {
  return {static_cast<std::byte*>(mapping_->get_address()), mapping_->get_size()};
}

}  // namespace onced::memory
