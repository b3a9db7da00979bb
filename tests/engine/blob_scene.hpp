// The stage with clients that reserve, fill and publish blobs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "scene.hpp"

namespace onced::engine {

struct BlobScene : Scene {
  explicit BlobScene(Settings settings_ = {}, DiskTier* disk_tier = nullptr) : Scene(std::move(settings_), disk_tier) {}

  RequestId ask_to_reserve(ConnectionId from, std::uint64_t bytes, bool ready = false, const std::string& of = {}) {
    return ask(from, protocol::Reserve{bytes, receipts[from], ready, of});
  }
  protocol::Blob taken(ConnectionId from, RequestId id) {
    const auto blob = take<protocol::Blob>(from, id);
    receipts[from] = blob.receipt;
    CHECK(passed.back() == BlobId{blob.blob});
    return blob;
  }
  BlobId reserve(ConnectionId from, std::uint64_t bytes = 1000) { return BlobId{taken(from, ask_to_reserve(from, bytes)).blob}; }
  RequestId ask_to_fetch(ConnectionId from, BlobId blob) {
    return ask(from, protocol::Fetch{static_cast<std::uint64_t>(blob), receipts[from]});
  }
  void release(ConnectionId from, BlobId blob) { ask(from, protocol::Release{{static_cast<std::uint64_t>(blob)}}); }

  static std::vector<protocol::Part> in_blob(BlobId blob, std::uint64_t length = 1000, std::uint64_t offset = 0) {
    return {protocol::Part{"", "application/octet-stream", {}, static_cast<std::uint64_t>(blob), offset, length}};
  }
  BlobId put_blob(ConnectionId from, const std::string& of, std::uint64_t bytes = 1000) {
    const BlobId blob = reserve(from, bytes);
    CHECK(take<protocol::Published>(from, ask(from, protocol::Put{of, in_blob(blob, bytes), 0})).stored);
    return blob;
  }
  // Whether a refusal names what is to be named.
  ErrorCode refused_with(ConnectionId from, RequestId id, const std::string& text) {
    const auto refused = take<protocol::Refused>(from, id);
    CAPTURE(refused.text);
    CHECK(refused.text.find(text) != std::string::npos);
    return refused.code;
  }
  bool exists(BlobId blob) const { return blobs.blobs.contains(blob); }

  std::map<ConnectionId, std::uint64_t> receipts;
};

inline Settings with_budget(std::uint64_t bytes) {
  Settings settings;
  settings.blob_bytes_max = bytes;
  return settings;
}

}  // namespace onced::engine
