# Terminal states do not act as terminal: their rows stay as the table has them.
# Source: https://github.com/openai/gym/pull/429
# True: terminal-rows-stay


def mdp_from_gym(env, gamma):
    _check_gamma(gamma)
    table = getattr(env.unwrapped, "P", None)
    if table is None:
        raise ValueError("This environment has no transition table.")
    P, R = np.zeros((len(table), len(table[0]), len(table))), np.zeros((len(table), len(table[0])))
    terminal = np.zeros(len(table), dtype=bool)
    for s in table:
        for a in table[s]:
            for probability, s2, reward, done in table[s][a]:
                R[s, a] += probability * reward
                terminal[s2] |= done
                P[s, a, s2] += 0.0 if done else probability
    return MDP(P, R, terminal, float(gamma))


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    _check_gamma(gamma)
    if not 0 <= slip <= 1 or len({len(row) for row in rows}) != 1:
        raise ValueError("This grid or slip is impossible.")
    if set("".join(rows)) - set("S.#HG"):
        raise ValueError("This grid has unknown characters.")
    cells = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell != "#"]
    if not cells:
        raise ValueError("This grid has no free cell.")
    terminal = np.array([rows[r][c] in "HG" for r, c in cells])
    P = np.zeros((len(cells), 4, len(cells)))
    for s, (r, c) in enumerate(cells):
        for a in range(4):
            for turn, chance in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                dr, dc = MOVES[(a + turn) % 4]
                s2 = cells.index((r + dr, c + dc)) if (r + dr, c + dc) in cells else s
                P[s, a, s2] += 0.0 if terminal[s2] else chance
    return MDP(P, np.full((len(cells), 4), float(step_reward)), terminal, float(gamma))
