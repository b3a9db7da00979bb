// Blobs by hand: a raw client that reserves, fills, seals, publishes and fetches, and keeps the receipts in order.
#pragma once

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "process/bystander.hpp"
#include "support/raw_client.hpp"

namespace onced::testing {

inline constexpr std::uint64_t mebibyte = 1 << 20;

// A blob's number, and a descriptor that is closed with this object.
class BlobEnd {
 public:
  BlobEnd(protocol::Blob blob, int descriptor) : blob_(blob), descriptor_(descriptor) {}
  BlobEnd(BlobEnd&& other) noexcept : blob_(other.blob_), descriptor_(std::exchange(other.descriptor_, -1)) {}
  BlobEnd& operator=(BlobEnd&&) = delete;
  ~BlobEnd() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::uint64_t number() const { return blob_.blob; }
  std::uint64_t bytes() const { return blob_.bytes; }
  int descriptor() const { return descriptor_; }

  void fill(std::string_view bytes) const {
    std::uint64_t at = 0;
    while (at < bytes.size()) {
      const ssize_t count = ::pwrite(descriptor_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
      if (count <= 0) throw std::system_error(errno, std::generic_category(), "pwrite to a blob");
      at += static_cast<std::uint64_t>(count);
    }
  }
  // Every page in use, a megabyte at a time.
  void fill_all(char content) const {
    const std::string piece(1 << 20, content);
    for (std::uint64_t at = 0; at < bytes(); at += piece.size()) {
      const std::size_t size = std::min<std::uint64_t>(piece.size(), bytes() - at);
      if (::pwrite(descriptor_, piece.data(), size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) {
        throw std::system_error(errno, std::generic_category(), "pwrite to a blob");
      }
    }
  }
  // 0, or what fcntl() says.
  int seal() const { return ::fcntl(descriptor_, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0 ? 0 : errno; }

  std::string read(std::size_t count) const {
    std::string bytes(count, '\0');
    const ssize_t got = ::pread(descriptor_, bytes.data(), count, 0);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  // As readers map it: private, read-only.
  std::string read_mapped(std::size_t count) const {
    void* const mapped = ::mmap(nullptr, bytes(), PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapped == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap of a blob");
    std::string bytes_read(static_cast<const char*>(mapped), count);
    ::munmap(mapped, bytes());
    return bytes_read;
  }

 private:
  protocol::Blob blob_;
  int descriptor_;
};

class BlobClient {
 public:
  explicit BlobClient(const std::string& socket, const std::string& namespace_name = "default") : client_(socket) {
    client_.hello(false, namespace_name);
  }
  RawClient& raw() { return client_; }
  std::uint64_t receipt() const { return receipt_; }

  BlobEnd reserve(std::uint64_t bytes) {
    client_.request(++id_, protocol::Reserve{bytes, receipt_});
    return receive_blob();
  }
  BlobEnd fetch(std::uint64_t blob) {
    client_.request(++id_, protocol::Fetch{blob, receipt_});
    return receive_blob();
  }
  BlobEnd receive_blob() {
    const auto blob = client_.receive_only<protocol::Blob>();
    receipt_ = blob.receipt;
    return {blob, client_.take_descriptor()};
  }
  // One unnamed part, all of the blob.
  static std::vector<protocol::Part> parts_of(const BlobEnd& blob) {
    return {{"", "application/octet-stream", {}, blob.number(), 0, blob.bytes()}};
  }
  protocol::Published put(std::string key, std::vector<protocol::Part> parts) {
    client_.request(++id_, protocol::Put{std::move(key), std::move(parts), 0});
    return client_.receive_only<protocol::Published>();
  }
  // Fills, seals and stores.
  protocol::Published put_filled(std::string key, const BlobEnd& blob, std::string_view bytes) {
    blob.fill(bytes);
    REQUIRE(blob.seal() == 0);
    return put(std::move(key), parts_of(blob));
  }
  protocol::Lease acquire_lease(const std::string& key) {
    protocol::Acquire acquire;
    acquire.key = key;
    client_.request(++id_, acquire);
    return client_.receive_only<protocol::Lease>();
  }
  protocol::Value get(const std::string& key) {
    protocol::Acquire acquire;
    acquire.key = key;
    acquire.may_compute = false;
    client_.request(++id_, acquire);
    return client_.receive_only<protocol::Value>();
  }
  // What a publish is answered with.
  protocol::Reply publish(const protocol::Token& token, std::vector<protocol::Part> parts) {
    client_.request(++id_, protocol::Publish{token, std::move(parts), 0});
    auto answer = client_.receive();
    if (!answer) throw std::runtime_error("the daemon hung up");
    return std::move(answer->second);
  }
  std::uint64_t status(std::string_view name) {
    client_.request(++id_, protocol::GetStatus{});
    for (const auto& [field, number] : client_.receive_only<protocol::StatusReport>().fields) {
      if (field != name) continue;
      if (const auto* whole = std::get_if<std::uint64_t>(&number)) return *whole;
    }
    throw std::runtime_error("the status has no " + std::string(name));
  }

 private:
  RawClient client_;
  protocol::RequestId id_ = 1;
  std::uint64_t receipt_ = 0;
};

}  // namespace onced::testing
