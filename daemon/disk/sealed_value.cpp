#include "disk/sealed_value.hpp"

#include <cstring>

namespace onced::disk {
namespace {

constexpr std::uint64_t stretch = 0;  // the part files have those from 1 on
constexpr std::size_t before = sizeof(SealedHead) + sizeof(SealTag);

}  // namespace

std::vector<std::byte> seal_body(SealedHead head, const SessionKey& key, Bytes body) {
  head.sealed_bytes = static_cast<std::uint32_t>(body.size());
  std::vector<std::byte> sealed(before + body.size());
  const Bytes beside = std::as_bytes(std::span(&head, 1));
  std::memcpy(sealed.data(), &head, sizeof(head));
  Cipher cipher(Cipher::Way::seal, key, stretch, beside);
  cipher.update(body, std::span(sealed).subspan(before));
  const SealTag tag = cipher.tag();
  std::memcpy(sealed.data() + sizeof(head), &tag, sizeof(tag));
  return sealed;
}

std::optional<SealedHead> sealed_head(Bytes sealed) {
  if (sealed.size() < before) return std::nullopt;
  SealedHead head;
  std::memcpy(&head, sealed.data(), sizeof(head));
  if (head.sealed_bytes != sealed.size() - before) return std::nullopt;
  return head;
}

std::optional<std::vector<std::byte>> open_body(Bytes sealed, const SealedHead& head, const SessionKey& key) {
  SealTag tag;
  std::memcpy(&tag, sealed.data() + sizeof(head), sizeof(tag));
  std::vector<std::byte> body(head.sealed_bytes);
  Cipher cipher(Cipher::Way::open, key, stretch, sealed.first(sizeof(head)));
  cipher.update(sealed.subspan(before), body);
  if (!cipher.is_right(tag)) return std::nullopt;
  return body;
}

}  // namespace onced::disk
