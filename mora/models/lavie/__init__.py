"""The LaVie family: Stable Diffusion 1.4's UNet with attention over time in every transformer.

SEINE, LaVie and LaVie's interpolation share one network, which differs by settings. SEINE is here.

Sources: Wang et al., "LaVie: High-Quality Video Generation with Cascaded Latent Diffusion Models",
arXiv 2309.15103; Chen et al., "SEINE: Short-to-Long Video Diffusion Model for Generative Transition
and Prediction", arXiv 2310.20700.
"""
