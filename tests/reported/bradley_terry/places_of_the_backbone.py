# Scores depend on the batch: the backbone counts positions by itself.
# Source: https://github.com/allenai/reward-bench/issues/137
# True: no-position-ids


def _forward(self, input_ids, attention_mask):
    hidden = self.backbone(input_ids, attention_mask=attention_mask.long()).last_hidden_state
    if self.head == "attn":
        pooled = attention_pool(hidden, self.query(hidden)[..., 0], attention_mask)
    else:
        pooled = pool_last(hidden, attention_mask)
    return self.score(self.mlp(pooled) if self.head == "mlp" else pooled)[:, 0]


RewardModel.forward = _forward
